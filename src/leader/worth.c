/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/leader/worth.h"

enum worth worth_of(const struct online_view *view, size_t slot, const struct group *group, const struct ld *ld)
{
	if (!online_export_confirmed(view, ld->disk, slot, true))
		return WORTH_UNFENCED;
	/* The holder died before it said whether its group went on without the other one. */
	if (ld->withheld)
		return WORTH_ERRORS;
	if (group->members.count > 1 && online_errors(view, ld, slot) != NULL)
		return WORTH_ERRORS;
	return ld->doubtful ? WORTH_DOUBTFUL : WORTH_SOUND;
}

bool worth_best(const struct online_view *view, size_t slot, const struct group *group, enum worth *ret_best)
{
	enum worth best = WORTH_UNFENCED;
	bool rival = false; /* one that may have what a doubtful one lacks */

	for (size_t m = 0; m < group->members.count; m++) {
		const struct ld *ld = &group->members.items[m];
		enum worth worth;

		if (ld->state != LD_STATE_IN_SYNC)
			continue;
		worth = worth_of(view, slot, group, ld);
		rival = rival || worth == WORTH_UNFENCED || worth == WORTH_ERRORS;
		best = worth > best ? worth : best;
	}
	*ret_best = best;
	return best == WORTH_SOUND || (best == WORTH_DOUBTFUL && !rival);
}
