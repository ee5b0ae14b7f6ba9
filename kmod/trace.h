/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM torc

#if !defined(TORC_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define TORC_TRACE_H

#include <linux/tracepoint.h>

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 10, 0)
#define torc_assign_str(field, value) __assign_str(field)
#else
#define torc_assign_str(field, value) __assign_str(field, value)
#endif

TRACE_EVENT(torc_publish,
	TP_PROTO(const char *name, size_t length),
	TP_ARGS(name, length),
	TP_STRUCT__entry(
		__string(name, name)
		__field(size_t, length)
	),
	TP_fast_assign(
		torc_assign_str(name, name);
		__entry->length = length;
	),
	TP_printk("%s %zu bytes", __get_str(name), __entry->length)
);

TRACE_EVENT(torc_drop,
	TP_PROTO(const char *name, size_t length, int error),
	TP_ARGS(name, length, error),
	TP_STRUCT__entry(
		__string(name, name)
		__field(size_t, length)
		__field(int, error)
	),
	TP_fast_assign(
		torc_assign_str(name, name);
		__entry->length = length;
		__entry->error = error;
	),
	TP_printk("%s %zu bytes: %d", __get_str(name), __entry->length,
		  __entry->error)
);

TRACE_EVENT(torc_wake,
	TP_PROTO(const char *name, int word),
	TP_ARGS(name, word),
	TP_STRUCT__entry(
		__string(name, name)
		__field(int, word)
	),
	TP_fast_assign(
		torc_assign_str(name, name);
		__entry->word = word;
	),
	TP_printk("%s %s", __get_str(name), __entry->word ? "room" : "data")
);

#endif /* TORC_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
