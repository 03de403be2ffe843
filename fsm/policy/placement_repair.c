/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where what a volume lost comes to stand again. */
