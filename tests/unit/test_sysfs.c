/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/test_sysfs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

void sysfs_make(char ret_tree[SYSFS_TREE_SIZE])
{
	char command[128];

	snprintf(ret_tree, SYSFS_TREE_SIZE, "/tmp/dnvme-sysfs-XXXXXX");
	assert_non_null(mkdtemp(ret_tree));
	snprintf(command, sizeof(command), "mkdir -p %s/class/nvme", ret_tree);
	assert_int_equal(system(command), 0);
}

void sysfs_remove(const char *tree)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", tree);
	assert_int_equal(system(command), 0);
}

static FILE *attribute_open(const char *tree, const char *controller, const char *attribute, const char *mode)
{
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/class/nvme/%s/%s", tree, controller, attribute);
	file = fopen(path, mode);
	if (file == NULL)
		fail_msg("%s: %s", path, strerror(errno));
	return file;
}

void sysfs_put(const char *tree, const char *controller, const char *attribute, const char *text)
{
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/class/nvme/%s", tree, controller);
	(void)mkdir(path, 0700);
	file = attribute_open(tree, controller, attribute, "w");
	fputs(text, file);
	fclose(file);
}

void sysfs_expect(const char *tree, const char *controller, const char *attribute, const char *line)
{
	FILE *file = attribute_open(tree, controller, attribute, "r");
	char text[64] = "";

	(void)!fgets(text, sizeof(text), file);
	fclose(file);
	text[strcspn(text, "\n")] = '\0';
	assert_string_equal(text, line);
}
