/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_corpus CORPUS DICTIONARY: makes both folders' content, as it is checked in. */
#include "fuzz/seeds.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz/words.h"
#include "lib/model/records.h"
#include "lib/wire/methods.h"

static const char *corpus, *dictionary;

/* Only the programs of libFuzzer have it. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size)
{
	(void)data;
	(void)max_size;
	return size;
}

static void directory_make(const char *path)
{
	FUZZ_REQUIRE(mkdir(path, 0777) == 0 || errno == EEXIST, "cannot make %s: %s", path, strerror(errno));
}

static FILE *file_make(const char *path)
{
	FILE *file = fopen(path, "w");

	FUZZ_REQUIRE(file != NULL, "cannot write %s: %s", path, strerror(errno));
	return file;
}

void seed_write(const char *target, struct bytes input)
{
	static char last[64];
	static unsigned number;
	char path[256];
	FILE *file;

	if (strcmp(last, target) != 0) {
		snprintf(last, sizeof(last), "%s", target);
		number = 0;
	}
	snprintf(path, sizeof(path), "%s/%s", corpus, target);
	directory_make(path);
	snprintf(path, sizeof(path), "%s/%s/seed-%03u", corpus, target, number++);
	file = file_make(path);
	FUZZ_REQUIRE(fwrite(input.data, 1, input.size, file) == input.size && fclose(file) == 0, "cannot write %s",
		     path);
}

static void word_write(FILE *file, const char *word)
{
	fputc('"', file);
	for (; *word != '\0'; word++) {
		if (*word == '"' || *word == '\\')
			fprintf(file, "\\%c", *word);
		else if ((unsigned char)*word < 0x20 || (unsigned char)*word >= 0x7f)
			fprintf(file, "\\x%02x", (unsigned char)*word);
		else
			fputc(*word, file);
	}
	fputs("\"\n", file);
}

/* Names on the wire, and the words of the small world. */
static void names_write(FILE *file)
{
	const struct method *method;
	const struct schema *schema;
	const struct enum_schema *values;

	for (size_t i = 0; (method = method_at((enum method_id)i)) != NULL; i++)
		word_write(file, method->name);
	for (size_t i = 0; (schema = schema_at(i)) != NULL; i++) {
		for (size_t j = 0; j < schema->field_count; j++)
			word_write(file, schema->fields[j].name);
	}
	for (size_t i = 0; (values = enum_schema_at(i)) != NULL; i++) {
		for (size_t j = 0; j < values->count; j++)
			word_write(file, values->values[j].name);
	}
}

static void list_write(FILE *file, const char *const *words)
{
	for (; *words != NULL; words++)
		word_write(file, *words);
}

static const char *const option_words[] = {
	"id = ",
	"listen = ",
	"raft = ",
	"data = ",
	"unix = ",
	"log-level = ",
	"heartbeat-ms = ",
	"election-timeout-ms = ",
	"snapshot-threshold = ",
	"snapshot-trailing = ",
	"stall-timeout-ms = ",
	"sessions-max = ",
	"node = ",
	"address = ",
	"port = ",
	"server = ",
	"label = ",
	"storage-only = ",
	"backend = ",
	"sim-disk = ",
	"sim-state = ",
	"sim-no-writethrough = ",
	"dump-desired = ",
	"yes",
	"no",
	"rack=r1",
	"127.0.0.1:7000",
	"10.0.0.1",
	"debug",
	"18446744073709551615",
	"#",
	"; ",
	"[",
	NULL,
};

static const char *const kernel_words[] = {
	"raid1 ",
	"region_size ",
	"rebuild ",
	"nosync ",
	"sync ",
	"AA",
	"aA",
	"recover",
	"resync",
	"idle",
	": block_bio_complete: ",
	": tracing_mark_write: dnvme ",
	"known ",
	"forget ",
	"ld ",
	"253,524289 WS 0 + 8 [-5]",
	"ports/1/",
	"subsystems/",
	"/namespaces/",
	"/allowed_hosts/",
	"/ana_groups/",
	"addr_traddr=",
	"addr_trsvcid=",
	"referrals/",
	"device_path=",
	"device_uuid=",
	"device_nguid=",
	"ana_grpid=",
	"enable=",
	"attr_allow_any_host=",
	"attr_cntlid_min=",
	"ana_state=",
	"hosts/",
	NULL,
};

static void dictionary_write(const char *target, bool names, const char *const *words)
{
	const char *word;
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s.dict", dictionary, target);
	file = file_make(path);
	if (names)
		names_write(file);
	if (words != NULL)
		list_write(file, words);
	if (words != option_words) {
		for (size_t i = 0; (word = words_at(i)) != NULL; i++) {
			if (word[0] != '\0')
				word_write(file, word);
		}
	}
	FUZZ_REQUIRE(fclose(file) == 0, "cannot write %s", path);
}

int main(int argument_count, char **arguments)
{
	static const char *const wire[] = { "frame", "request", "record", "command", "snapshot", "desired", "report" };

	FUZZ_REQUIRE(argument_count == 3, "usage: fuzz_corpus CORPUS DICTIONARY");
	corpus = arguments[1];
	dictionary = arguments[2];
	directory_make(corpus);
	directory_make(dictionary);
	for (size_t i = 0; i < sizeof(wire) / sizeof(wire[0]); i++)
		dictionary_write(wire[i], i < 3, NULL);
	dictionary_write("kernel", false, kernel_words);
	dictionary_write("nvmet", false, kernel_words);
	dictionary_write("store", false, NULL);
	dictionary_write("backup", false, NULL);
	dictionary_write("options_agent", false, option_words);
	dictionary_write("options_server", false, option_words);
	seeds_wire();
	seeds_commands();
	seeds_state();
	seeds_text();
	return 0;
}
