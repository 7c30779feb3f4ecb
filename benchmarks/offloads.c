/* C twins of the adapter's offload kernels, for the yardstick "numba against gcc -O3": the same loads, tables and
 * sums as nic/rss_kernel.py, pcaps/checksums_kernel.py and nic/lso_kernel.py, for IPv4 without options. */
#include <stdint.h>
#include <string.h>

typedef uint64_t u64;
typedef uint32_t u32;
typedef uint16_t u16;

static inline u64 ld64(const uint8_t *p) { u64 v; memcpy(&v, p, 8); return v; }
static inline u64 ld32(const uint8_t *p) { u32 v; memcpy(&v, p, 4); return v; }
static inline u64 ld16(const uint8_t *p) { u16 v; memcpy(&v, p, 2); return v; }
static inline void st64(uint8_t *p, u64 v) { memcpy(p, &v, 8); }
static inline void st32(uint8_t *p, u64 v) { u32 w = (u32)v; memcpy(p, &w, 4); }
static inline void st16(uint8_t *p, u64 v) { u16 w = (u16)v; memcpy(p, &w, 2); }
static inline u64 swap16(u64 v) { return __builtin_bswap16((u16)v); }
static inline u64 swap32(u64 v) { return __builtin_bswap32((u32)v); }

static inline u64 fold(u64 s)
{
    s = (s & 0xFFFFFFFF) + (s >> 32);
    s = (s & 0xFFFF) + (s >> 16);
    s = (s & 0xFFFF) + (s >> 16);
    return (s & 0xFFFF) + (s >> 16);
}

void toeplitz(const uint8_t *restrict data, const u64 *restrict l3, const u64 *restrict l4,
              const u32 *restrict tables, u32 *restrict hashes, u64 n)
{
    for (u64 i = 0; i < n; i++) {
        u64 word = ld64(data + l3[i] + 12), ports = ld32(data + l4[i]);
        u32 found = 0;
        for (int k = 0; k < 8; k++) found ^= tables[k * 256 + (word >> 8 * k & 255)];
        for (int k = 0; k < 4; k++) found ^= tables[(8 + k) * 256 + (ports >> 8 * k & 255)];
        hashes[i] = found;
    }
}

void verify_ip(const uint8_t *restrict data, const u64 *restrict l3, uint8_t *restrict states, u64 n)
{
    for (u64 i = 0; i < n; i++) {
        const uint8_t *p = data + l3[i];
        u64 s = ld32(p) + ld32(p + 4) + ld32(p + 8) + ld32(p + 12) + ld32(p + 16);
        states[i] = (*p & 15) != 5 ? 0 : fold(s) == 0xFFFF ? 1 : 2;
    }
}

static inline u64 copy_adding(uint8_t *restrict to, const uint8_t *restrict from, u64 length)
{
    u64 low = 0, high = 0, words = length >> 3, rest = length & 7;
    for (u64 n = 0; n < words; n++) {
        u64 w = ld64(from + 8 * n);
        st64(to + 8 * n, w);
        low += w & 0xFFFFFFFF;
        high += w >> 32;
    }
    if (rest) {
        u64 w = ld64(from + 8 * words);
        st64(to + 8 * words, w);
        w &= (1ULL << 8 * rest) - 1;
        low += w & 0xFFFFFFFF;
        high += w >> 32;
    }
    return low + high;
}

/* Super-frames of Ethernet, IPv4 and TCP without options, one behind the other, each `size` bytes long. */
u64 lso(const uint8_t *restrict data, u64 frames, u64 size, u64 mss, uint8_t *restrict out,
        u64 *restrict start, u32 *restrict length)
{
    u64 used = 0, written = 0;
    for (u64 f = 0; f < frames; f++) {
        const uint8_t *p = data + f * size;
        u64 left = size - 54, sequence = swap32(ld32(p + 38)), id = swap16(ld16(p + 18));
        u64 flags = swap16(ld16(p + 46));
        u64 of_ip = ld16(p + 14) + ld16(p + 20) + ld16(p + 22) + ld32(p + 26) + ld32(p + 30);
        u64 of_tcp = ld32(p + 34) + ld32(p + 42) + ld16(p + 48) + ld16(p + 52) + ld32(p + 26) + ld32(p + 30)
                     + swap16(6);
        for (u64 done = 0, piece = 0; done < left; done += mss, piece++) {
            u64 payload = left - done < mss ? left - done : mss;
            uint8_t *to = out + used;
            memcpy(to, p, 54);
            u64 total = of_tcp + copy_adding(to + 54, p + 54 + done, payload);
            u64 number = swap32((u32)(sequence + done)), f16 = flags;
            if (done + payload < left) f16 &= ~(u64)9;
            if (piece) f16 &= ~(u64)128;
            u64 word = swap16(f16);
            total += number + word + swap16(20 + payload);
            st32(to + 38, number);
            st16(to + 46, word);
            st16(to + 50, fold(total) ^ 0xFFFF);
            u64 bytes = swap16(40 + payload), ident = swap16((id & 0x8000) | ((id + piece) & 0x7FFF));
            st16(to + 16, bytes);
            st16(to + 18, ident);
            st16(to + 24, fold(of_ip + bytes + ident) ^ 0xFFFF);
            start[written] = used;
            length[written++] = (u32)(54 + payload);
            used += 54 + payload;
        }
    }
    return written;
}
