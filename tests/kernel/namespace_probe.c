/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Disables and removes a namespace as the agent does: "removed MS", or "refused MS REASON". */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/backend/kernel.h"
#include "lib/base/clock.h"

int main(int argc, char **argv)
{
	struct error error = { 0 };
	struct kernel *kernel;
	uint64_t begin_ms;
	int code;

	if (argc != 3)
		return fprintf(stderr, "usage: namespace_probe NQN NSID\n"), 2;
	if (kernel_linux_open(&kernel, &error) != 0)
		return fprintf(stderr, "namespace_probe: %s\n", error.message), 1;
	begin_ms = clock_boot_ms();
	code = kernel->operations->namespace_remove(kernel, argv[1], (uint32_t)atoi(argv[2]), &error);
	printf("%s %" PRIu64 " %s\n", code == 0 ? "removed" : "refused", clock_boot_ms() - begin_ms, error.message);
	kernel->operations->close(kernel);
	return 0;
}
