/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/test_client_scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void scene_make(struct scene *scene, const char *volume, const char *kernel)
{
	char word[3][32];
	int used = 0, words;

	*scene = (struct scene){ .hosts = { SCENE_HOST },
				 .slots = { { .holder = "cn1", .epoch = 2, .phase = SLOT_PHASE_SERVING },
					    { .holder = "cn2", .epoch = 2, .phase = SLOT_PHASE_SERVING } } };
	scene->volume = (struct volume){ .phase = VOLUME_PHASE_ONLINE,
					 .slots = { 2, scene->slots },
					 .controllers = { 0, scene->controllers },
					 .hosts = { 1, scene->hosts } };
	scene->status =
		(struct volume_status){ .volume = &scene->volume, .nqn = SCENE_NQN, .paths = { 0, scene->paths } };
	for (; *volume != '\0'; volume += used + (volume[used] == ',')) {
		size_t i = scene->volume.controllers.count++;
		struct controller *controller = &scene->controllers[i];

		words = sscanf(volume, " %7[^ ,] %31[^ ,] %31[^ ,]", word[0], word[1], word[2]);
		assert_true(words >= 2);
		used = (int)strcspn(volume, ",");
		strcpy(scene->nodes[i], word[0]);
		snprintf(scene->addresses[i], sizeof(scene->addresses[i]), "10.0.0.%.7s", word[0] + 2);
		*controller = (struct controller){ .node = scene->nodes[i],
						   .role = (enum controller_role)enum_schema_parse(
							   enum_schema_controller_role(), word[1]) };
		if (words == 3) {
			controller->slot = (uint64_t)atoi(word[2]);
			controller->epoch = controller->role == CONTROLLER_ROLE_RETIRED ? 1 : 0;
		}
		scene->paths[scene->status.paths.count++] = (struct volume_path){
			.node = scene->nodes[i], .address = scene->addresses[i], .port = 4420, .role = controller->role
		};
	}
	for (; *kernel != '\0'; kernel += used + (kernel[used] == ',')) {
		struct host_controller *known = &scene->known[scene->known_count++];

		words = sscanf(kernel, " %31[^ ,] %7[^ ,] %31[^ ,] %31[^ ,]", known->name, word[0], known->state,
			       word[1]);
		assert_true(words >= 3);
		used = (int)strcspn(kernel, ",");
		strcpy(known->host_nqn, words == 4 && strcmp(word[1], "foreign") == 0 ? SCENE_OTHER : SCENE_HOST);
		snprintf(known->address, sizeof(known->address), "10.0.0.%.7s", word[0] + 2);
		strcpy(known->port, "4420");
	}
}
