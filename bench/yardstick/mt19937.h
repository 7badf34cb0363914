/* CPython's random.Random(seed) for an integer seed below 2**64: the Mersenne Twister MT19937 with seeding by array
   (M. Matsumoto and T. Nishimura, "Mersenne Twister", ACM TOMACS 8(1), 1998, and their initialization of 2002), and on
   top of it random(), _randbelow() - all that choice() and randint() draw - and gauss(). */

#ifndef MT19937_H
#define MT19937_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

enum { MT_WORDS = 624, MT_SHIFT = 397 };

struct mt19937 {
    uint32_t state[MT_WORDS];
    uint32_t output[MT_WORDS]; /* the state tempered */
    int next;                  /* index of the next word to give out */
    bool has_spare;            /* whether gauss() has a value left over */
    double spare;              /* that value */
};

static void mt_seed(struct mt19937 *mt, uint64_t seed)
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    const int length = key[1] ? 2 : 1;
    uint32_t *w = mt->state;

    w[0] = 19650218u;
    for (int i = 1; i < MT_WORDS; i++)
        w[i] = 1812433253u * (w[i - 1] ^ (w[i - 1] >> 30)) + (uint32_t)i;

    int i = 1;
    for (int k = 0; k < MT_WORDS; k++) {
        w[i] = (w[i] ^ ((w[i - 1] ^ (w[i - 1] >> 30)) * 1664525u)) + key[k % length] + (uint32_t)(k % length);
        if (++i == MT_WORDS) {
            w[0] = w[MT_WORDS - 1];
            i = 1;
        }
    }
    for (int k = 1; k < MT_WORDS; k++) {
        w[i] = (w[i] ^ ((w[i - 1] ^ (w[i - 1] >> 30)) * 1566083941u)) - (uint32_t)i;
        if (++i == MT_WORDS) {
            w[0] = w[MT_WORDS - 1];
            i = 1;
        }
    }
    w[0] = 0x80000000u;
    mt->next = MT_WORDS;
    mt->has_spare = false;
}

/* The next word of the state, from the bits of three earlier ones */
static inline uint32_t mt_twist(uint32_t high, uint32_t low, uint32_t shifted)
{
    const uint32_t y = (high & 0x80000000u) | (low & 0x7fffffffu);
    return shifted ^ (y >> 1) ^ (y & 1 ? 0x9908b0dfu : 0);
}

static inline uint32_t mt_temper(uint32_t y)
{
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

static void mt_refill(struct mt19937 *mt)
{
    uint32_t *w = mt->state;
    int i = 0;

    for (; i < MT_WORDS - MT_SHIFT; i++)
        w[i] = mt_twist(w[i], w[i + 1], w[i + MT_SHIFT]);
    for (; i < MT_WORDS - 1; i++)
        w[i] = mt_twist(w[i], w[i + 1], w[i + MT_SHIFT - MT_WORDS]);
    w[i] = mt_twist(w[i], w[0], w[MT_SHIFT - 1]);
    for (i = 0; i < MT_WORDS; i++)
        mt->output[i] = mt_temper(w[i]);
    mt->next = 0;
}

static inline uint32_t mt_word(struct mt19937 *mt)
{
    if (mt->next == MT_WORDS)
        mt_refill(mt);
    return mt->output[mt->next++];
}

/* random(): a double in [0, 1) */
static inline double mt_random(struct mt19937 *mt)
{
    const uint32_t a = mt_word(mt) >> 5, b = mt_word(mt) >> 6;
    return (a * 67108864.0 + b) / 9007199254740992.0;
}

/* _randbelow(n), n > 0: the leading n.bit_length() bits of a word, until they are below n */
static inline int mt_below(struct mt19937 *mt, uint32_t n)
{
    const int shift = __builtin_clz(n);
    uint32_t drawn;
    do
        drawn = mt_word(mt) >> shift;
    while (drawn >= n);
    return (int)drawn;
}

/* gauss(mu, sigma): values come in pairs, the second is kept for the next call */
static inline double mt_gauss(struct mt19937 *mt, double mu, double sigma)
{
    double z;
    if (mt->has_spare) {
        z = mt->spare;
    } else {
        const double angle = mt_random(mt) * 6.283185307179586;
        const double radius = sqrt(-2.0 * log(1.0 - mt_random(mt)));
        z = cos(angle) * radius;
        mt->spare = sin(angle) * radius;
    }
    mt->has_spare = !mt->has_spare;
    return mu + z * sigma;
}

#endif
