/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System calls that fail on demand, with an errno that the test chooses. Only calls of our own code: what a shared
 * library calls goes through. A test runs an operation with n = 1, 2, 3 … until nothing fails any more, and looks at
 * what each failure left behind.
 */
#ifndef DNVME_TESTS_UNIT_FAILING_CALL_H
#define DNVME_TESTS_UNIT_FAILING_CALL_H

#include <setjmp.h>

/* Let the `n`-th call (1 is the next one) of the function `name` fail, once; of any function for NULL. */
void failing_call_arm(const char *name, unsigned long n, int problem);

/* The name of the call that failed, NULL when none did. Switches off. */
const char *failing_call_disarm(void);

/* abort() comes back here instead of ending the program:  if (setjmp(abort_catch()) == 0) { …; fail(); }
 * once; without it abort() does what it does. */
jmp_buf *abort_catch(void);
#define ASSERT_ABORTS(statement)                                                                                       \
	do {                                                                                                           \
		if (setjmp(*abort_catch()) == 0) {                                                                     \
			statement;                                                                                     \
			fail_msg("%s came back", #statement);                                                          \
		}                                                                                                      \
	} while (0)

#endif
