#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Goal: the ring, as the kernel has it, passes its KUnit tests, where the kernel has
# KUnit.

results=/sys/kernel/debug/kunit/torc_ring/results

if [ ! -e "$TORC_MODULES/torc_kunit.ko" ]; then
	echo "ok 1 - the ring by KUnit # SKIP this kernel has none"
	echo "1..1"
	exit
fi
insmod "$TORC_MODULES/torc_kunit.ko" || exit
# What stands a step in belongs to the suite: its cases, what they tell, the plan.
sed -n '/# Subtest:/d; s/^    \(ok \|not ok \|# \|1\.\.\)/\1/p' $results
rmmod torc_kunit
