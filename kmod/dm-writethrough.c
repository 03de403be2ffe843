// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-writethrough: a write is acknowledged only when the device below made it durable, its mapping included.
 *
 * dm-thin acknowledges a write to a fresh block before the new mapping is committed: a crash of the machine then undoes
 * an acknowledged write, and nobody above knows that a cache was lost. This target stands above a thin device. It turns
 * writes into forced-unit-access writes, which make dm-thin commit the mapping first, and follows a discard by a flush
 * before the discard is acknowledged.
 *
 *   <start> <length> writethrough <device> [<number of feature arguments> <feature arguments>]
 *
 *   remember <sectors>   Force only the first write to each block of so many sectors (a power of two; the block size of
 *                        the thin pool): once it was acknowledged, the mapping is on disk, and later writes of the block
 *                        pass as they are. A discard, and a suspend of this device, forget what was remembered: suspend it
 *                        before a snapshot is taken below. Without this feature every write is forced, which also
 *                        survives disks that lose a volatile cache.
 *
 *   status   <forced writes> <writes passed as they were> <flushes after discards>
 *
 * The device below must advertise a write cache: otherwise the block layer would strip forced unit access before it
 * gets there. There are no messages.
 */
#include <linux/device-mapper.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/spinlock.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>

#define DM_MSG_PREFIX "writethrough"
#define REMEMBER_MAX_BLOCKS (1UL << 32) /* 512 MiB of bits */

struct writethrough {
	struct dm_dev *device;
	struct workqueue_struct *workqueue;
	unsigned int block_shift; /* in sectors; meaningful only with `committed` */
	unsigned long blocks;
	unsigned long *committed; /* one bit for each block whose mapping is known to be on disk; NULL: not remembered */
	/*
	 * A forced write may set bits only if no discard ran beside it: the discard may have come behind it at the pool.
	 */
	spinlock_t lock;
	unsigned int discards; /* in flight */
	u64 generation;	       /* raised by each discard, and when everything is forgotten */
	atomic64_t forced, passed, flushed;
};

struct writethrough_io {
	enum { IO_OTHER, IO_FORCED, IO_DISCARD, IO_FLUSH } kind;
	sector_t sector; /* of this target, before it was mapped */
	unsigned int sectors;
	u64 generation;
	struct work_struct work;
	struct bio *bio;
};

/* --- what is remembered ----------------------------------------------------------------------------------- */

static void blocks_of(const struct writethrough *this, sector_t sector, unsigned int sectors, unsigned long *first,
		      unsigned long *last)
{
	*first = sector >> this->block_shift;
	*last = (sector + sectors - 1) >> this->block_shift;
}

static bool is_committed(const struct writethrough *this, sector_t sector, unsigned int sectors)
{
	unsigned long first, last;

	if (!this->committed)
		return false;
	for (blocks_of(this, sector, sectors, &first, &last); first <= last; first++) {
		if (!test_bit(first, this->committed))
			return false;
	}
	return true;
}

static u64 generation_of(struct writethrough *this)
{
	unsigned long flags;
	u64 generation;

	spin_lock_irqsave(&this->lock, flags);
	generation = this->generation;
	spin_unlock_irqrestore(&this->lock, flags);
	return generation;
}

static void remember(struct writethrough *this, const struct writethrough_io *io)
{
	unsigned long first, last, flags;

	spin_lock_irqsave(&this->lock, flags);
	if (this->discards == 0 && this->generation == io->generation) {
		for (blocks_of(this, io->sector, io->sectors, &first, &last); first <= last; first++)
			set_bit(first, this->committed);
	}
	spin_unlock_irqrestore(&this->lock, flags);
}

static void discard_begin(struct writethrough *this, sector_t sector, unsigned int sectors)
{
	unsigned long first, last, flags;

	blocks_of(this, sector, sectors, &first, &last);
	spin_lock_irqsave(&this->lock, flags);
	this->discards++;
	this->generation++;
	for (; first <= last; first++)
		clear_bit(first, this->committed);
	spin_unlock_irqrestore(&this->lock, flags);
}

static void discard_end(struct writethrough *this)
{
	unsigned long flags;

	spin_lock_irqsave(&this->lock, flags);
	this->discards--;
	spin_unlock_irqrestore(&this->lock, flags);
}

/* --- I/O --------------------------------------------------------------------------------------------------- */

/* In a worker: a completion may not submit. The bio comes back through end_io. */
static void flush_submit(struct work_struct *work)
{
	struct bio *bio = container_of(work, struct writethrough_io, work)->bio;

	bio->bi_opf = REQ_OP_WRITE | REQ_PREFLUSH | REQ_SYNC;
	bio->bi_iter.bi_size = 0;
	dm_submit_bio_remap(bio, NULL);
}

static int writethrough_map(struct dm_target *target, struct bio *bio)
{
	struct writethrough *this = target->private;
	struct writethrough_io *io = dm_per_bio_data(bio, sizeof(*io));

	io->kind = IO_OTHER;
	io->sector = dm_target_offset(target, bio->bi_iter.bi_sector);
	io->sectors = bio_sectors(bio);
	if (bio_op(bio) == REQ_OP_DISCARD) {
		io->kind = IO_DISCARD;
		if (this->committed)
			discard_begin(this, io->sector, io->sectors);
	} else if (bio_op(bio) == REQ_OP_WRITE && io->sectors > 0) {
		if (is_committed(this, io->sector, io->sectors)) {
			atomic64_inc(&this->passed);
		} else {
			io->kind = IO_FORCED;
			io->generation = this->committed ? generation_of(this) : 0;
			bio->bi_opf |= REQ_FUA;
			atomic64_inc(&this->forced);
		}
	}
	bio_set_dev(bio, this->device->bdev);
	bio->bi_iter.bi_sector = io->sector;
	return DM_MAPIO_REMAPPED;
}

static int writethrough_end_io(struct dm_target *target, struct bio *bio, blk_status_t *error)
{
	struct writethrough *this = target->private;
	struct writethrough_io *io = dm_per_bio_data(bio, sizeof(*io));

	switch (io->kind) {
	case IO_FORCED:
		if (!*error && this->committed)
			remember(this, io);
		break;
	case IO_DISCARD:
		if (this->committed)
			discard_end(this);
		if (*error)
			break;
		io->kind = IO_FLUSH;
		io->bio = bio;
		atomic64_inc(&this->flushed);
		INIT_WORK(&io->work, flush_submit);
		queue_work(this->workqueue, &io->work);
		return DM_ENDIO_INCOMPLETE;
	case IO_FLUSH:
	case IO_OTHER:
		break;
	}
	return DM_ENDIO_DONE;
}

/* A snapshot that is taken while this device is suspended makes every block shared: the next write of each maps anew. */
static void writethrough_postsuspend(struct dm_target *target)
{
	struct writethrough *this = target->private;
	unsigned long flags;

	if (!this->committed)
		return;
	spin_lock_irqsave(&this->lock, flags);
	this->generation++;
	spin_unlock_irqrestore(&this->lock, flags);
	memset(this->committed, 0, BITS_TO_LONGS(this->blocks) * sizeof(long));
}

/* --- life -------------------------------------------------------------------------------------------------- */

static void writethrough_dtr(struct dm_target *target)
{
	struct writethrough *this = target->private;

	if (this->workqueue)
		destroy_workqueue(this->workqueue);
	if (this->device)
		dm_put_device(target, this->device);
	kvfree(this->committed);
	kfree(this);
}

static int remember_parse(struct dm_target *target, struct writethrough *this, const char *text)
{
	unsigned long sectors;

	if (this->committed || kstrtoul(text, 10, &sectors) || sectors == 0 || !is_power_of_2(sectors)) {
		target->error = "remember takes a block size in sectors, a power of two, once";
		return -EINVAL;
	}
	this->block_shift = ilog2(sectors);
	if (target->len > (sector_t)REMEMBER_MAX_BLOCKS << this->block_shift) {
		target->error = "remember: too many blocks of this size";
		return -EINVAL;
	}
	this->blocks = (target->len + sectors - 1) >> this->block_shift;
	this->committed = kvcalloc(BITS_TO_LONGS(this->blocks), sizeof(long), GFP_KERNEL);
	if (!this->committed) {
		target->error = "no memory for the remembered blocks";
		return -ENOMEM;
	}
	return 0;
}

static int features_parse(struct dm_target *target, struct writethrough *this, struct dm_arg_set *arguments)
{
	static const struct dm_arg counts[] = { { 0, 2, "the number of feature arguments must be 0 or 2" } };
	unsigned int count = 0;
	int result;

	if (arguments->argc == 0)
		return 0;
	result = dm_read_arg_group(counts, arguments, &count, &target->error);
	if (result)
		return result;
	if (count != arguments->argc || count == 1) {
		target->error = "the number of feature arguments does not match";
		return -EINVAL;
	}
	if (count == 0)
		return 0;
	if (strcasecmp(dm_shift_arg(arguments), "remember")) {
		target->error = "the only feature is remember";
		return -EINVAL;
	}
	return remember_parse(target, this, dm_shift_arg(arguments));
}

static int writethrough_ctr(struct dm_target *target, unsigned int argc, char **argv)
{
	struct dm_arg_set arguments = { .argc = argc, .argv = argv };
	struct writethrough *this;
	int result;

	if (argc < 1) {
		target->error = "a device is needed";
		return -EINVAL;
	}
	this = kzalloc(sizeof(*this), GFP_KERNEL);
	if (!this) {
		target->error = "no memory";
		return -ENOMEM;
	}
	target->private = this;
	spin_lock_init(&this->lock);
	result = dm_get_device(target, dm_shift_arg(&arguments), dm_table_get_mode(target->table), &this->device);
	if (result) {
		target->error = "the device cannot be opened";
		goto bad;
	}
	result = -EINVAL;
	if (!bdev_write_cache(this->device->bdev)) {
		target->error = "the device does not advertise a write cache: forced writes would not reach it";
		goto bad;
	}
	result = features_parse(target, this, &arguments);
	if (result)
		goto bad;
	result = -ENOMEM;
	this->workqueue = alloc_workqueue("dm-writethrough", WQ_MEM_RECLAIM, 0);
	if (!this->workqueue) {
		target->error = "no memory for a work queue";
		goto bad;
	}
	/* No write zeroes: whoever wants zeroes writes them, forced. */
	target->num_flush_bios = 1;
	target->num_discard_bios = 1;
	target->per_io_data_size = sizeof(struct writethrough_io);
	return 0;
bad:
	writethrough_dtr(target);
	return result;
}

static void writethrough_status(struct dm_target *target, status_type_t type, unsigned int flags, char *result,
				unsigned int maxlen)
{
	struct writethrough *this = target->private;
	unsigned int sz = 0;

	switch (type) {
	case STATUSTYPE_INFO:
		DMEMIT("%lld %lld %lld", (long long)atomic64_read(&this->forced),
		       (long long)atomic64_read(&this->passed), (long long)atomic64_read(&this->flushed));
		break;
	case STATUSTYPE_TABLE:
		DMEMIT("%s", this->device->name);
		if (this->committed)
			DMEMIT(" 2 remember %lu", 1UL << this->block_shift);
		break;
	case STATUSTYPE_IMA:
		DMEMIT_TARGET_NAME_VERSION(target->type);
		DMEMIT(",device_name=%s;", this->device->name);
		break;
	}
}

static int writethrough_iterate_devices(struct dm_target *target, iterate_devices_callout_fn callout, void *data)
{
	struct writethrough *this = target->private;

	return callout(target, this->device, 0, target->len, data);
}

static struct target_type writethrough_target = {
	.name = "writethrough",
	.version = { 1, 0, 0 },
	.module = THIS_MODULE,
	.ctr = writethrough_ctr,
	.dtr = writethrough_dtr,
	.map = writethrough_map,
	.end_io = writethrough_end_io,
	.postsuspend = writethrough_postsuspend,
	.status = writethrough_status,
	.iterate_devices = writethrough_iterate_devices,
};

static int __init writethrough_init(void)
{
	return dm_register_target(&writethrough_target);
}

static void __exit writethrough_exit(void)
{
	dm_unregister_target(&writethrough_target);
}

module_init(writethrough_init);
module_exit(writethrough_exit);
MODULE_DESCRIPTION("device-mapper target that acknowledges a write when it is durable");
MODULE_LICENSE("GPL");
