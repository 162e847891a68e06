// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The rules of virtiofs-daxd-fault: which texts are rules, and when they apply.
 */
#include <linux/fuse.h>
#include <stdlib.h>

#include "fault/rule.h"
#include "fs_tap.h"

static int add(const char *text)
{
	bool cleared = false;

	return fault_rules_add(text, strlen(text), &cleared);
}

/* The request that rules are matched with. */
static struct request req;

static bool hits(uint32_t opcode, enum fault_stage stage, struct fault_hit *hit)
{
	const struct fault_subject subject = { .req = &req, .stage = stage };

	req.header.opcode = opcode;
	return fault_rules_match(&subject, hit);
}

static bool match(uint32_t opcode, enum fault_stage stage)
{
	struct fault_hit hit;

	return hits(opcode, stage, &hit);
}

/* The text of all rules; the caller frees it. */
static char *print(void)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	fault_rules_print(out);
	fclose(out);
	return text;
}

static void good_rules(void)
{
	static const struct {
		const char *text;
		uint32_t opcode;
		enum fault_stage stage;
		enum fault_action action;
		uint64_t value;
	} good[] = {
		{ "op=SETUPMAPPING errno=12", FUSE_SETUPMAPPING, FAULT_REQUEST,
		  FAULT_ERRNO, 12 },
		{ "op=setupmapping errno=99999 done", FUSE_SETUPMAPPING,
		  FAULT_REPLY, FAULT_ERRNO, 99999 },
		{ "delay=50 op=READ", FUSE_READ, FAULT_REPLY, FAULT_DELAY, 50 },
		{ "op=REMOVEMAPPING silence", FUSE_REMOVEMAPPING, FAULT_REPLY,
		  FAULT_SILENCE, 0 },
		{ "op=GETATTR \t short\n", FUSE_GETATTR, FAULT_REPLY,
		  FAULT_SHORT, 0 },
		{ "\nop=GETATTR long", FUSE_GETATTR, FAULT_REPLY, FAULT_LONG,
		  0 },
		{ "op=READ hold=3", FUSE_READ, FAULT_REPLY, FAULT_HOLD, 3 },
		{ "op=INIT align=65535", FUSE_INIT, FAULT_REPLY, FAULT_ALIGN,
		  65535 },
		{ "op=INIT flags2=4294967295", FUSE_INIT, FAULT_REPLY,
		  FAULT_FLAGS2, UINT32_MAX },
		{ "op=WRITE die", FUSE_WRITE, FAULT_REQUEST, FAULT_DIE, 0 },
		{ "op=WRITE done die", FUSE_WRITE, FAULT_REPLY, FAULT_DIE, 0 },
	};
	struct fault_hit hit;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		printf("# rule %zu\n", i);
		CHECK(add(good[i].text) == 0);
		CHECK(!match(good[i].opcode, !good[i].stage));
		CHECK(!match(FUSE_LOOKUP, good[i].stage));
		CHECK(hits(good[i].opcode, good[i].stage, &hit));
		CHECK(hit.action == good[i].action);
		CHECK(hit.value == good[i].value && hit.hits == 1);
		fault_rules_clear();
	}
}

/* And one that is no rule takes those beside it along. */
static void bad_rules(void)
{
	static const char *const bad[] = {
		"op=SETUPMAPPING",
		"errno=12",
		"op=NOSUCH errno=12",
		"op=other errno=12",
		"op=FORGET errno=12",
		"op=GETXATTR silence",
		"op=READ write errno=12",
		"op=SETUPMAPPING write=1 errno=12",
		"op=READ at=0 errno=12",
		"op=READ errno",
		"op=READ errno=",
		"op=READ errno=-1",
		"op=READ errno=0",
		"op=READ errno=4294967308",
		"op=READ errno=12x",
		"op=READ errno=12 silence",
		"op=READ silence=1",
		"op=READ silence done",
		"op=READ align=12",
		"op=INIT align=65536",
		"op=INIT align",
		"op=READ flags2=0",
		"op=INIT flags2=4294967296",
		"op=READ hold=0",
		"op=READ count= die",
		"op=READ count=18446744073709551616 die",
		"op=READ die now",
		"op=READ,die",
		"CLEAR",
		"clear op=READ die",
	};
	char long_line[300], lines[400], *text;

	memset(long_line, ' ', sizeof(long_line));
	memcpy(long_line, "op=READ die", 11);
	long_line[sizeof(long_line) - 1] = 0;
	CHECK(add(long_line) == -EINVAL);
	CHECK(fault_rules_add("op=READ die\0", 12, &(bool){ false }) ==
	      -EINVAL);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		printf("# %s\n", bad[i]);
		snprintf(lines, sizeof(lines), "op=READ die\n%s\n", bad[i]);
		CHECK(add(bad[i]) == -EINVAL && add(lines) == -EINVAL);
	}
	CHECK(!match(FUSE_READ, FAULT_REQUEST));
	text = print();
	CHECK(!strcmp(text, ""));
	free(text);
}

static void skip_and_count(void)
{
	static const bool expected[] = { 0, 0, 1, 1, 1, 0, 0 };
	char *text;

	CHECK(add("op=READ skip=2 count=3 short") == 0);
	for (size_t i = 0; i < sizeof(expected); i++)
		CHECK(match(FUSE_READ, FAULT_REPLY) == expected[i]);
	text = print();
	CHECK(!strcmp(text, "rule op=READ skip=2 count=3 short seen=7 hits=3\n"));
	free(text);
	fault_rules_clear();
	CHECK(add("op=READ count=0 short") == 0);
	for (int i = 0; i < 1000; i++)
		CHECK(match(FUSE_READ, FAULT_REPLY));
	fault_rules_clear();
	CHECK(add("op=READ hold=3") == 0);
	for (int i = 0; i < 5; i++)
		CHECK(match(FUSE_READ, FAULT_REPLY) == (i < 3));
	fault_rules_clear();
}

/* The first rule in force decides, and the next one when that is used up. */
static void rules_in_order(void)
{
	static const uint64_t expected[] = { 1, 1, 2, 3 };
	struct fault_hit hit;

	CHECK(add("op=READ errno=1 count=2\nop=READ errno=2") == 0);
	CHECK(add("op=READ errno=3") == 0);
	for (int i = 0; i < 4; i++) {
		CHECK(hits(FUSE_READ, FAULT_REQUEST, &hit));
		CHECK(hit.value == expected[i]);
	}
	CHECK(!match(FUSE_READ, FAULT_REQUEST));
	fault_rules_clear();
}

static void sizes_of_files_only(void)
{
	const struct fault_subject file = {
		.req = &req, .stage = FAULT_REPLY, .sized = true,
	};
	struct fault_hit hit;
	char *text;

	CHECK(add("op=GETATTR size=9223372036854775808") == 0);
	CHECK(!match(FUSE_GETATTR, FAULT_REPLY));
	CHECK(fault_rules_match(&file, &hit));
	CHECK(hit.action == FAULT_SIZE && hit.value == UINT64_C(1) << 63);
	text = print();
	CHECK(strstr(text, "seen=1 hits=1"));
	free(text);
	fault_rules_clear();
}

static void setups_for_writing(void)
{
	struct fuse_setupmapping_in *in = (void *)req.body;

	in->flags = FUSE_SETUPMAPPING_FLAG_READ;
	CHECK(add("op=SETUPMAPPING write errno=13") == 0);
	CHECK(!match(FUSE_SETUPMAPPING, FAULT_REQUEST));
	in->flags |= FUSE_SETUPMAPPING_FLAG_WRITE;
	CHECK(match(FUSE_SETUPMAPPING, FAULT_REQUEST));
	CHECK(!match(FUSE_SETUPMAPPING, FAULT_REQUEST));
	fault_rules_clear();
}

static void setups_by_place(void)
{
	struct fuse_setupmapping_in *in = (void *)req.body;

	CHECK(add("op=SETUPMAPPING at=4096 count=0 errno=12") == 0);
	in->len = 4096;
	for (in->moffset = 0; in->moffset < 3 * 4096; in->moffset += 4096)
		CHECK(match(FUSE_SETUPMAPPING, FAULT_REQUEST) ==
		      (in->moffset == 4096));
	fault_rules_clear();
}

/* Of many entries one is the one, if it is there. */
static void removes_by_place(void)
{
	struct fuse_removemapping_in *in = (void *)req.body;
	struct fuse_removemapping_one one = { .len = 4096 };

	CHECK(add("op=REMOVEMAPPING at=12287 count=0 errno=12") == 0);
	in->count = 3;
	for (unsigned int i = 0; i < in->count; i++) {
		one.moffset = i * 4096;
		memcpy(req.body + sizeof(*in) + i * sizeof(one), &one,
		       sizeof(one));
	}
	req.len = sizeof(req.header) + sizeof(*in) + 3 * sizeof(one);
	CHECK(match(FUSE_REMOVEMAPPING, FAULT_REQUEST));
	req.len--;
	CHECK(!match(FUSE_REMOVEMAPPING, FAULT_REQUEST));
	req.len++;
	in->count = 2;
	CHECK(!match(FUSE_REMOVEMAPPING, FAULT_REQUEST));
	fault_rules_clear();
}

static void clear_begins_anew(void)
{
	bool cleared = true;
	uint64_t first;
	struct fault_hit hit;

	CHECK(fault_rules_add("op=READ errno=1", 15, &cleared) == 0);
	CHECK(!cleared);
	CHECK(hits(FUSE_READ, FAULT_REQUEST, &hit));
	first = hit.rule;
	CHECK(add("clear\nop=FOO die") == -EINVAL);
	CHECK(fault_rules_add("op=WRITE die\nclear\nop=READ errno=2", 34,
			      &cleared) == 0);
	CHECK(cleared);
	CHECK(!match(FUSE_WRITE, FAULT_REQUEST));
	CHECK(hits(FUSE_READ, FAULT_REQUEST, &hit));
	CHECK(hit.value == 2 && hit.rule != first && first && hit.rule);
	CHECK(fault_rules_add("clear", 5, &cleared) == 0 && cleared);
	CHECK(!match(FUSE_READ, FAULT_REQUEST));
	CHECK(fault_rules_add("", 0, &cleared) == 0 && !cleared);
}

static const struct fs_test tests[] = {
	TEST(good_rules),
	TEST(bad_rules),
	TEST(skip_and_count),
	TEST(rules_in_order),
	TEST(sizes_of_files_only),
	TEST(setups_for_writing),
	TEST(setups_by_place),
	TEST(removes_by_place),
	TEST(clear_begins_anew),
};

int main(int argc, char **argv)
{
	return run_tests(tests, sizeof(tests) / sizeof(tests[0]),
			 argc > 1 ? argv[1] : NULL);
}
