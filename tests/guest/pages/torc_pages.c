// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * torc_pages: how processors cache an address, for the test that asks.
 *
 * Writing a number to the parameter "address" looks it up in the page table that
 * the processor walks: one of the calling process's, and then what the kernel's own
 * mapping of all memory says of the same page; or one of the kernel's.  Reading the
 * parameter tells: "user wc, kernel wc at 0xffff...".
 */
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <asm/msr.h>
#include <asm/pgtable.h>

static char told[80];

/* By the entry's three bits and the register that says what they mean. */
static const char *cache_name(pteval_t entry, bool large)
{
	static const char *const names[] = { "uc", "wc", "?", "?",
					     "wt", "wp", "wb", "uc" };
	pteval_t pat = large ? _PAGE_PAT_LARGE : _PAGE_PAT;
	unsigned int at = (entry & _PAGE_PWT ? 1 : 0) +
			  (entry & _PAGE_PCD ? 2 : 0) + (entry & pat ? 4 : 0);
	u64 types;

	rdmsrl(MSR_IA32_CR_PAT, types);
	return names[types >> (8 * at) & 7];
}

/* The caller's page table entry; none where there is no page or a large one. */
static pte_t user_entry(unsigned long address)
{
	pte_t entry = __pte(0);
	pgd_t *pgd;
	p4d_t *p4d;
	pud_t *pud;
	pmd_t *pmd;

	mmap_read_lock(current->mm);
	pgd = pgd_offset(current->mm, address);
	if (pgd_none(*pgd))
		goto out;
	p4d = p4d_offset(pgd, address);
	if (p4d_none(*p4d))
		goto out;
	pud = pud_offset(p4d, address);
	if (pud_none(*pud) || pud_val(*pud) & _PAGE_PSE)
		goto out;
	pmd = pmd_offset(pud, address);
	if (!pmd_none(*pmd) && !(pmd_val(*pmd) & _PAGE_PSE))
		entry = *pte_offset_kernel(pmd, address);
out:
	mmap_read_unlock(current->mm);
	return entry;
}

static const char *kernel_cache(unsigned long address)
{
	unsigned int level;
	const pte_t *entry = lookup_address(address, &level);

	return entry ? cache_name(pte_val(*entry), level != PG_LEVEL_4K) :
		       "nothing";
}

static int address_set(const char *value, const struct kernel_param *unused)
{
	unsigned long address, page;
	pte_t entry;
	int r = kstrtoul(value, 0, &address);

	if (r)
		return r;
	if (address >= TASK_SIZE_MAX) {
		snprintf(told, sizeof(told), "kernel %s at 0x%lx",
			 kernel_cache(address), address);
		return 0;
	}
	entry = user_entry(address);
	if (!pte_present(entry))
		return -EFAULT;
	page = (unsigned long)__va(pte_pfn(entry) << PAGE_SHIFT);
	snprintf(told, sizeof(told), "user %s, kernel %s at 0x%lx",
		 cache_name(pte_val(entry), false), kernel_cache(page), page);
	return 0;
}

static int address_get(char *buffer, const struct kernel_param *unused)
{
	return scnprintf(buffer, PAGE_SIZE, "%s\n", told);
}

static const struct kernel_param_ops address_ops = {
	.set = address_set,
	.get = address_get,
};
module_param_cb(address, &address_ops, NULL, 0600);
MODULE_PARM_DESC(address, "to look up, and what was found");

MODULE_DESCRIPTION("torc test: how processors cache an address");
MODULE_LICENSE("Dual MIT/GPL");
