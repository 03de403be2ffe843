/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/backend/sim/sim.h"
#include "agent/options.h"
#include "agent/plan.h"
#include "agent/text.h"
#include "lib/base/log.h"

enum { EXIT_STATUS_DONE = 0, EXIT_STATUS_FAILED = 1, EXIT_STATUS_USAGE = 2 };

static void print_error(const struct error *error)
{
	fprintf(stderr, "dnvme-agent: %s\n", error->message);
	if (error->details[0] != '\0')
		fprintf(stderr, "%s\n", error->details);
	if (error->hint[0] != '\0')
		fprintf(stderr, "  hint: %s\n", error->hint);
}

static int kernel_open(const struct options *options, struct kernel **ret_kernel, struct error *error)
{
	struct kernel *kernel;
	int code = options->backend == OPTIONS_BACKEND_SIM ? kernel_sim_open(options->sim_state, &kernel, error)
							   : kernel_linux_open(&kernel, error);

	if (code == 0 && options->backend == OPTIONS_BACKEND_SIM)
		kernel_sim_labels_assume(kernel);
	if (code == 0 && options->sim_no_writethrough)
		kernel_sim_writethrough_lack(kernel);
	for (size_t i = 0; code == 0 && i < options->sim_disks.count; i++) {
		code = kernel_sim_disk_add(kernel, options->sim_disks.items[i], error);
		if (code != 0)
			kernel->operations->close(kernel);
	}
	if (code == 0)
		*ret_kernel = kernel;
	return code;
}

static int write_out(const struct buffer *text, struct error *error)
{
	if (fwrite(text->data, 1, text->size, stdout) != text->size || fflush(stdout) != 0)
		return error_set(error, ERROR_INTERNAL, "cannot write to standard output");
	return 0;
}

static int observe(const struct options *options, struct arena *arena, struct observed *ret_observed,
		   struct error *error)
{
	struct kernel *kernel;
	int code;

	if (options->observed_path != NULL)
		return text_json_load(schema_observed(), options->observed_path, arena, ret_observed, error);
	code = kernel_open(options, &kernel, error);
	if (code != 0)
		return code;
	code = kernel->operations->observe(kernel, arena, ret_observed, error);
	kernel->operations->close(kernel);
	return code;
}

static int run_observe(const struct options *options, struct error *error)
{
	struct buffer text = BUFFER_INIT;
	struct arena arena = ARENA_INIT;
	struct observed observed;
	int code = observe(options, &arena, &observed, error);

	if (code == 0 && options->json)
		code = text_json_print(schema_observed(), &observed, &text, error);
	else if (code == 0 && text_observed_print(&observed, &text) != 0)
		code = error_set_nomem(error);
	if (code == 0)
		code = write_out(&text, error);
	buffer_free(&text);
	arena_free(&arena);
	return code;
}

static int run_plan(const struct options *options, struct error *error)
{
	struct buffer text = BUFFER_INIT;
	struct arena arena = ARENA_INIT;
	struct observed observed;
	struct desired desired;
	struct target target;
	struct plan plan;
	int code = text_json_load(schema_desired(), options->desired_path, &arena, &desired, error);

	if (code == 0)
		code = observe(options, &arena, &observed, error);
	if (code == 0)
		code = target_build(&desired, &arena, &target, error);
	if (code == 0)
		code = plan_make(&observed, &target, &arena, &plan, error);
	if (code == 0 && plan_print(&plan, &text) != 0)
		code = error_set_nomem(error);
	if (code == 0)
		code = write_out(&text, error);
	buffer_free(&text);
	arena_free(&arena);
	return code;
}

static int run_agent(const struct options *options, struct error *error)
{
	struct kernel *kernel;
	int code = kernel_open(options, &kernel, error);

	if (code != 0)
		return code;
	/* A worker that does not return uses the kernel until the process is gone. */
	if (options->command == OPTIONS_APPLY)
		code = agent_apply(options, kernel, error);
	else
		code = agent_run(options, kernel, error);
	return code;
}

int main(int argument_count, char **arguments)
{
	struct options options;
	struct error error = { 0 };
	int code = 0;

	signal(SIGPIPE, SIG_IGN);
	if (argument_count > 1 && strcmp(arguments[1], KERNEL_LINUX_PAUSE) == 0) {
		log_open("dnvme-agent", LOG_TARGET_AUTO, LOG_LEVEL_INFO);
		return kernel_linux_pause(argument_count - 1, arguments + 1);
	}
	if (argument_count == 3 && strcmp(arguments[1], KERNEL_LINUX_KEEP_ALIVE) == 0) {
		log_open("dnvme-agent", LOG_TARGET_AUTO, LOG_LEVEL_INFO);
		return kernel_linux_keep_alive(arguments[2]);
	}
	if (options_parse(argument_count, arguments, &options, &error) != 0) {
		print_error(&error);
		return EXIT_STATUS_USAGE;
	}
	log_open("dnvme-agent", LOG_TARGET_AUTO, options.log_level);
	if (options.check_only)
		code = 0;
	else if (options.command == OPTIONS_OBSERVE)
		code = run_observe(&options, &error);
	else if (options.command == OPTIONS_PLAN)
		code = run_plan(&options, &error);
	else
		code = run_agent(&options, &error);
	if (code != 0)
		print_error(&error);
	options_free(&options);
	return code == 0 ? EXIT_STATUS_DONE : EXIT_STATUS_FAILED;
}
