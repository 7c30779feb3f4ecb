/* The C twin of the fused walk: the same records, image, checks and counters as
 * vswitch/replay_kernel.py, mode SOFTWARE, for the yardstick "numba against gcc -O3".
 * Flooded frames are left out (the benchmark has none). */
#include <stdint.h>
#include <string.h>

typedef uint64_t u64;
typedef uint32_t u32;
typedef uint16_t u16;

enum { H_FDB, H_FDB_SHIFT, H_TPID0, H_TPID1, H_TPID2 };
enum { P_FLAGS, P_MAC, P_ROW, P_PVID_ENTRY, P_WORD, P_NATIVE };
#define HEAD_WORDS 16
#define PORT_WORDS 8
#define F_UPLINK 1
#define F_CHECK_SOURCE 2
#define F_SPOOF_GUARD 4
#define E_SPECIAL (7ULL << 61)
#define E_DROP (1ULL << 63)
#define NONE (~0ULL)
#define UNUSUAL ((1ULL << 49) | (1ULL << 62))
#define GROUP_TPID ((0xFFFULL << 42) | (3ULL << 40))

static inline u64 ld64(const uint8_t *p) { u64 v; memcpy(&v, p, 8); return v; }
static inline u64 ld32(const uint8_t *p) { u32 v; memcpy(&v, p, 4); return v; }
static inline u64 ld16(const uint8_t *p) { u16 v; memcpy(&v, p, 2); return v; }

static inline u64 look_up(const u64 *image, u64 key)
{
    u64 shift = image[H_FDB_SHIFT], slot = (key * 0x9E3779B97F4A7C15ULL) >> shift;
    const u64 *fdb = image + image[H_FDB];
    for (;;) {
        if (fdb[2 * slot] == key) return fdb[2 * slot + 1];
        if (fdb[2 * slot] == NONE) return NONE;
        slot = (slot + 1) & ((1ULL << (64 - shift)) - 1);
    }
}

static inline u64 decide(const uint8_t *p, u64 caplen, u64 wirelen, u64 in_port, const u64 *image)
{
    u64 dst = ld64(p) & 0xFFFFFFFFFFFFULL, src = ld64(p + 4) >> 16, type = ld16(p + 12);
    u64 tagged = (type == image[H_TPID0]) | (type == image[H_TPID1]) | (type == image[H_TPID2]);
    if (caplen < 18) {
        if (caplen < 14) return wirelen >= 14 ? 1 : 2;
        if (tagged) return wirelen >= 18 ? 1 : 3;
    }
    const u64 *port = image + HEAD_WORDS + in_port * PORT_WORDS;
    u64 flags = port[P_FLAGS];
    if ((flags & F_CHECK_SOURCE) && ((src & 1) || !src)) return 4;
    if ((flags & F_SPOOF_GUARD) && src != port[P_MAC]) return 5;
    u64 mask = 0 - tagged;
    u64 tci = __builtin_bswap16((u16)ld16(p + 14)) & mask;
    u64 entry = image[port[P_ROW] + ((tci & 0xFFF) | (4096 & ~mask))];
    if (entry & E_SPECIAL) {
        if (entry & E_DROP) return entry & 0xFF;
        entry = port[P_PVID_ENTRY] | (tagged << 18);
    }
    u64 word = (entry & ~E_SPECIAL) | ((tci & 0xF000) << 24);
    u64 key = (entry & (0xFFFULL << 24)) << 24;
    if ((flags & F_UPLINK) && look_up(image, key | src) != NONE) word |= 1 << 21;
    if (dst & 1) return 9;
    u64 target = look_up(image, key | dst);
    if (target == NONE) return 11;
    u64 length = wirelen - ((word & (1 << 18)) >> 16), limit = (target >> 16) & 0xFFFFFFFFULL;
    u64 out = target & 0xFFFF;
    if ((target & UNUSUAL) | (word & GROUP_TPID)) return 13;
    if (out == in_port) return 10;
    if (length > limit) return 15;
    return word | out | (1 << 16) | ((target >> 29) & (1 << 19));
}

u64 walk(const uint8_t *restrict data, u64 offset, u64 end, const u64 *restrict image,
         u64 *restrict stats, u64 *restrict words, u64 room, int ahead)
{
    u64 i = 0, fetched = offset;
    while (i < room && offset < end) {
        u64 caplen = ld32(data + offset + 8), wirelen = ld32(data + offset + 12);
        u64 following = offset + 16 + caplen;
        if (caplen > 262144 || following > end) break;
        if (ahead == 2) {
            __builtin_prefetch(data + offset + 16 * (following - offset));
        } else if (ahead == 1) {
            for (; fetched < offset + 4096;) {
                fetched += 64;
                __builtin_prefetch(data + fetched);
            }
        }
        u64 word = decide(data + offset + 16, caplen, wirelen, 0, image), kind = (word >> 16) & 3;
        if (word & (1 << 21)) stats[197]++;
        if (kind == 1) {
            u64 *row = stats + 208 + (word & 0xFFFF) * 8;
            row[0]++;
            row[1] += wirelen;
            row[2] += caplen;
        } else {
            u64 reason = word & 63;
            if (!stats[reason]) stats[64 + reason] = i + 1;
            stats[reason]++;
        }
        words[i++] = word;
        offset = following;
    }
    return i;
}
