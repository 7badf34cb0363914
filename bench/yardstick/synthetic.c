/* A yardstick for the benchmark: the reference trainer's run on its synthetic environment, default config, in plain C
   and equal to it bit for bit. The learner (Watkins 1989) is in trainer.h, the generator (Matsumoto and Nishimura
   1998) in mt19937.h.

   Build: cc -O3 -march=native -ffp-contract=off -o synthetic synthetic.c -lm
   (no contraction, since a fused multiply-add would round differently)
   Usage: synthetic EPISODES SEED [dump]
   prints the seconds that training took, then, with `dump`, both tables and all episode rewards (see trainer.h).
   The features are the buckets of price, volume, trend and scarcity, and the mood. */

#include "trainer.h"

#define PRICE_BUCKETS 4
#define VOLUME_BUCKETS 4
#define TREND_BUCKETS 4
#define SCARCITY_BUCKETS 8
#define MOOD_BUCKETS 4

#define PNL_WEIGHT 1.0
#define SCARCITY_WEIGHT 0.5
#define ETHICS_BONUS 0.75
#define CLARITY_WEIGHT 0.2

struct env {
    struct mt19937 rng;
    int position; /* -1, 0 or 1 */
    int mood;
};

static void env_seed(struct env *env, uint64_t seed)
{
    mt_seed(&env->rng, seed);
}

/* Draws the features but the mood; the state, and the trend bucket by itself */
static inline int observe(struct env *env, int *trend)
{
    const int price = mt_below(&env->rng, PRICE_BUCKETS);
    const int volume = mt_below(&env->rng, VOLUME_BUCKETS);
    *trend = mt_below(&env->rng, TREND_BUCKETS);
    const int scarcity = mt_below(&env->rng, SCARCITY_BUCKETS);
    return (((price * VOLUME_BUCKETS + volume) * TREND_BUCKETS + *trend) * SCARCITY_BUCKETS + scarcity) * MOOD_BUCKETS
        + env->mood;
}

static int env_reset(struct env *env)
{
    int trend;
    env->position = 0;
    env->mood = 0;
    return observe(env, &trend);
}

static inline int clamp(int value, int low, int high)
{
    return value < low ? low : value > high ? high : value;
}

static inline double uniform(struct mt19937 *rng, double low, double high)
{
    return low + (high - low) * mt_random(rng);
}

static struct outcome env_step(struct env *env, enum action action)
{
    env->position = clamp(env->position + (action == BUY) - (action == SELL), -1, 1);
    const double drift = uniform(&env->rng, -1.0, 1.0);
    const double scarcity = uniform(&env->rng, -0.5, 0.5);
    const double ethics = env->position >= 0 ? ETHICS_BONUS : -ETHICS_BONUS;
    const double base = env->position * drift * PNL_WEIGHT + scarcity * SCARCITY_WEIGHT + ethics;
    env->mood = clamp(env->mood + (base > 0.5) - (base < -0.2), 0, MOOD_BUCKETS - 1);

    int trend;
    const int state = observe(env, &trend);
    return (struct outcome){state, base + CLARITY_WEIGHT * env->mood, trend > 0};
}

int main(int argc, char **argv)
{
    static const int buckets[] = {PRICE_BUCKETS, VOLUME_BUCKETS, TREND_BUCKETS, SCARCITY_BUCKETS, MOOD_BUCKETS};
    static struct env env;
    return run(argc, argv, &env, buckets, sizeof buckets / sizeof *buckets);
}
