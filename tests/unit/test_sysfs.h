/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A copy of /sys with NVMe controllers, in a directory of its own. */
#ifndef DNVME_TESTS_UNIT_TEST_SYSFS_H
#define DNVME_TESTS_UNIT_TEST_SYSFS_H

#define SYSFS_TREE_SIZE 32

void sysfs_make(char ret_tree[SYSFS_TREE_SIZE]);
void sysfs_remove(const char *tree);

/* The controller is there from its first attribute on. */
void sysfs_put(const char *tree, const char *controller, const char *attribute, const char *text);
/* The attribute's first line. */
void sysfs_expect(const char *tree, const char *controller, const char *attribute, const char *line);

#endif
