/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/model/moving.h"

const struct ld *moving_ld(const struct volume *volume, const struct group *group)
{
	return group->members.count > volume->copies ? &group->members.items[volume->copies] : NULL;
}

size_t moving_place(const struct volume *volume, const struct group *group, size_t member)
{
	const struct ld *leaving = moving_ld(volume, group);

	for (size_t i = 0; leaving != NULL && member == volume->copies && i < volume->copies; i++) {
		if (group->members.items[i].moves == leaving->id)
			return i;
	}
	return member;
}

bool moving_any(const struct volume *volume)
{
	for (size_t l = 0; l < volume->legs.count; l++) {
		for (size_t g = 0; g < volume->legs.items[l].groups.count; g++) {
			if (moving_ld(volume, &volume->legs.items[l].groups.items[g]) != NULL)
				return true;
		}
	}
	return false;
}
