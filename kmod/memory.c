// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What holds a topic's bytes: pages of a shmem file, single pages, or one
 * contiguous buffer.  The device stays the mapping's file in each case, so that
 * remap_file_pages() and the like come back to the driver's mmap().
 */
#include "internal.h"

#include <linux/pagemap.h>
#include <linux/set_memory.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

/* ---- Single pages, of a shmem file or of none ---------------------------- */

static struct page *get_page_number(struct torc_memory *memory, unsigned long i)
{
	struct page *page;

	if (memory->file)
		return shmem_read_mapping_page(memory->file->f_mapping, i);
	page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	return page ? page : ERR_PTR(-ENOMEM);
}

static int alloc_pages_singly(struct torc_memory *memory)
{
	struct page *page;
	unsigned long i;

	for (i = 0; i < memory->count; i++) {
		page = get_page_number(memory, i);
		if (IS_ERR(page))
			return PTR_ERR(page);
		memory->pages[i] = page;
	}
	return 0;
}

static int alloc_shmem(struct torc_memory *memory)
{
	struct file *file = shmem_file_setup("torc",
					     memory->count << PAGE_SHIFT, 0);

	/* What it says of an inode for which there is no memory. */
	if (IS_ERR(file))
		return PTR_ERR(file) == -ENOSPC ? -ENOMEM : PTR_ERR(file);
	memory->file = file;
	/* The kernel's view must not part from the processes' by swapping. */
	mapping_set_unevictable(file->f_mapping);
	return alloc_pages_singly(memory);
}

static void free_pages_singly(struct torc_memory *memory)
{
	unsigned long i;

	for (i = 0; i < memory->count && memory->pages[i]; i++) {
		/* What the kernel wrote is not known to the file. */
		if (memory->file)
			set_page_dirty_lock(memory->pages[i]);
		put_page(memory->pages[i]);
	}
	if (memory->file)
		fput(memory->file);
}

static vm_fault_t memory_fault(struct vm_fault *vmf)
{
	struct torc_memory *memory = vmf->vma->vm_private_data;

	if (vmf->pgoff >= memory->count)
		return VM_FAULT_SIGBUS;
	vmf->page = memory->pages[vmf->pgoff];
	get_page(vmf->page);
	return 0;
}

static const struct vm_operations_struct memory_vm_ops = {
	.fault = memory_fault,
};

/* ---- One contiguous buffer ----------------------------------------------- */

/*
 * The attribute of a mapping alone would silently become that of the kernel's own
 * mapping, so that has to be changed too.
 */
static int alloc_contig(struct torc_memory *memory)
{
	size_t size = memory->count << PAGE_SHIFT;
	int r = 0;

	memory->base = alloc_pages_exact(size, GFP_KERNEL_ACCOUNT | __GFP_ZERO |
						       __GFP_NOWARN);
	if (!memory->base)
		return -ENOMEM;
	if (memory->cache == TORC_CACHE_WC)
		r = set_memory_wc((unsigned long)memory->base, memory->count);
	else if (memory->cache == TORC_CACHE_UC)
		r = set_memory_uc((unsigned long)memory->base, memory->count);
	if (r)
		memory->cache = TORC_CACHE_WB;
	return r;
}

static void free_contig(struct torc_memory *memory)
{
	if (!memory->base)
		return;
	if (memory->cache != TORC_CACHE_WB)
		set_memory_wb((unsigned long)memory->base, memory->count);
	free_pages_exact(memory->base, memory->count << PAGE_SHIFT);
}

static int map_contig(struct torc_memory *memory, struct vm_area_struct *vma)
{
	unsigned long pfn = page_to_pfn(virt_to_page(memory->base));

	if (memory->cache == TORC_CACHE_WC)
		vma->vm_page_prot = pgprot_writecombine(vma->vm_page_prot);
	else if (memory->cache == TORC_CACHE_UC)
		vma->vm_page_prot = pgprot_noncached(vma->vm_page_prot);
	return remap_pfn_range(vma, vma->vm_start, pfn + vma->vm_pgoff,
			       vma->vm_end - vma->vm_start, vma->vm_page_prot);
}

/* ---- Any of them --------------------------------------------------------- */

int torc_memory_alloc(struct torc_memory *memory, u64 size,
		      enum torc_driver_memory kind,
		      enum torc_driver_cache cache, u64 address)
{
	int r = 0;

	*memory = (struct torc_memory){
		.kind = kind,
		.cache = cache,
		.count = size >> PAGE_SHIFT,
	};
	if (kind != TORC_PAGES_CONTIG) {
		memory->pages = kvcalloc(memory->count, sizeof(*memory->pages),
					 GFP_KERNEL_ACCOUNT);
		if (!memory->pages) {
			memory->count = 0;
			return -ENOMEM;
		}
	}
	switch (kind) {
	case TORC_PAGES_SHMEM:
		r = alloc_shmem(memory);
		break;
	case TORC_PAGES_CONTIG:
		r = alloc_contig(memory);
		break;
	case TORC_PAGES_FAULT:
		r = alloc_pages_singly(memory);
		break;
	case TORC_PAGES_USER:
		r = torc_user_pin(memory, address);
		break;
	default:
		r = -EINVAL;
	}
	if (!r && memory->pages) {
		memory->base = vmap(memory->pages, memory->count, VM_MAP,
				    PAGE_KERNEL);
		if (!memory->base)
			r = -ENOMEM;
	}
	if (r)
		torc_memory_free(memory);
	return r;
}

void torc_memory_free(struct torc_memory *memory)
{
	if (memory->kind == TORC_PAGES_CONTIG) {
		free_contig(memory);
	} else {
		vunmap(memory->base);
		if (memory->kind == TORC_PAGES_USER)
			torc_user_unpin(memory);
		else
			free_pages_singly(memory);
		kvfree(memory->pages);
	}
	*memory = (struct torc_memory){ .count = 0 };
}

int torc_memory_map(struct torc_memory *memory, struct vm_area_struct *vma)
{
	if (memory->kind == TORC_PAGES_CONTIG)
		return map_contig(memory, vma);
	/* Its pages may be in the process's own, anonymous, mappings alone. */
	if (memory->kind == TORC_PAGES_USER)
		return -ENODEV;
	vma->vm_private_data = memory;
	vma->vm_ops = &memory_vm_ops;
	return 0;
}
