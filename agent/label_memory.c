/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/label_memory.h"

#include <stdlib.h>
#include <string.h>

#include "agent/list.h"
#include "lib/base/log.h"
#include "lib/wire/codec.h"

struct known_label {
	struct known_label *next;
	uint64_t look; /* the last one that had begun when it was read */
	struct arena arena;
	struct observed_label label;
};

static void known_label_free(struct known_label *known)
{
	arena_free(&known->arena);
	free(known);
}

uint64_t label_memory_look(struct label_memory *memory)
{
	return ++memory->looks;
}

void label_memory_forget(struct label_memory *memory, const char *device)
{
	struct known_label **at = &memory->labels;

	while (*at != NULL) {
		struct known_label *known = *at;

		if (strcmp(known->label.device, device) != 0) {
			at = &known->next;
			continue;
		}
		*at = known->next;
		known_label_free(known);
	}
}

void label_memory_keep(struct label_memory *memory, const struct observed_label *label)
{
	struct known_label *known = calloc(1, sizeof(*known));
	struct error error;

	label_memory_forget(memory, label->device);
	if (known == NULL)
		return;
	if (codec_copy(schema_observed_label(), label, &known->arena, &known->label, &error) != 0) {
		log_failure(LOG_LEVEL_WARNING, "cannot keep a label", &error);
		known_label_free(known);
		return;
	}
	known->look = memory->looks;
	known->next = memory->labels;
	memory->labels = known;
}

static bool is_there(const struct observed *observed, const struct observed_label *label)
{
	for (size_t i = 0; i < observed->dms.count; i++) {
		const struct observed_dm *dm = &observed->dms.items[i];

		if (strcmp(dm->name, label->device) == 0 && dm->uuid != NULL && strcmp(dm->uuid, label->uuid) == 0)
			return true;
	}
	return false;
}

int label_memory_add(struct label_memory *memory, uint64_t look, struct observed *observed, struct arena *arena,
		     struct error *error)
{
	struct known_label **at = &memory->labels;

	while (*at != NULL) {
		struct known_label *known = *at;
		struct observed_label *label;

		if (!is_there(observed, &known->label)) {
			if (known->look >= look) {
				at = &known->next;
				continue;
			}
			*at = known->next;
			known_label_free(known);
			continue;
		}
		label = LIST_PUSH(arena, &observed->labels);
		if (label == NULL)
			return error_set_nomem(error);
		if (codec_copy(schema_observed_label(), &known->label, arena, label, error) != 0)
			return error->code;
		at = &known->next;
	}
	return 0;
}

void label_memory_free(struct label_memory *memory)
{
	while (memory->labels != NULL) {
		struct known_label *known = memory->labels;

		memory->labels = known->next;
		known_label_free(known);
	}
}
