/* A yardstick for the benchmark: the reference trainer's run on its crypto environment, default config, in plain C
   and equal to it bit for bit. The learner (Watkins 1989) is in trainer.h, the generator (Matsumoto and Nishimura
   1998) in mt19937.h.

   Build: cc -O3 -march=native -ffp-contract=off -o crypto crypto.c -lm
   (no contraction, since a fused multiply-add would round differently)
   Usage: crypto EPISODES SEED [dump]
   prints the seconds that training took, then, with `dump`, both tables and all episode rewards (see trainer.h).
   The features are position + 1, the regime, whether the last return was large, and whether the PnL is not negative.
   Equality needs the C library's exp, log, sin and cos to be those that Python uses. */

#include "trainer.h"

#define START_PRICE 1000.0
#define REGIME_CHANGE 0.05 /* probability per step */
#define DRIFT_BULL 0.002
#define DRIFT_BEAR (-0.002)
#define DRIFT_CHOP 0.0
#define DRIFT_PANIC (DRIFT_BEAR * 1.5)
#define VOL_BASE 0.01
#define VOL_PANIC 0.04
#define SHOCK_PROB 0.02
#define SHOCK_SCALE 0.05
#define FEE_BPS 5.0
#define LARGE_RETURN 0.01
#define RISKY_VOLS 2.5

enum regime { BULL, BEAR, CHOP, PANIC, REGIMES };
enum { POSITIONS = 3 };

static const double DRIFT[REGIMES] = {DRIFT_BULL, DRIFT_BEAR, DRIFT_CHOP, DRIFT_PANIC};
static const double VOL[REGIMES] = {VOL_BASE, VOL_BASE, VOL_BASE, VOL_PANIC};

struct env {
    struct mt19937 rng;
    double price, pnl, last_return;
    enum regime regime;
    int position; /* -1, 0 or 1 */
};

static void env_seed(struct env *env, uint64_t seed)
{
    mt_seed(&env->rng, seed);
}

static inline bool large_return(const struct env *env)
{
    return fabs(env->last_return) > LARGE_RETURN;
}

static inline int observe(const struct env *env)
{
    const int position = env->position + 1;
    return ((position * REGIMES + (int)env->regime) * 2 + large_return(env)) * 2 + (env->pnl >= 0.0);
}

static int env_reset(struct env *env)
{
    env->price = START_PRICE;
    env->pnl = 0.0;
    env->last_return = 0.0;
    env->regime = CHOP;
    env->position = 0;
    return observe(env);
}

static struct outcome env_step(struct env *env, enum action action)
{
    if (mt_random(&env->rng) < REGIME_CHANGE)
        env->regime = mt_below(&env->rng, REGIMES);

    const double vol = VOL[env->regime];
    double noise = mt_gauss(&env->rng, 0.0, vol);
    if (mt_random(&env->rng) < SHOCK_PROB)
        noise += mt_gauss(&env->rng, 0.0, SHOCK_SCALE);
    const double old_price = env->price;
    env->price *= exp(DRIFT[env->regime] + noise);

    double fee = 0.0;
    if ((action == BUY && env->position <= 0) || (action == SELL && env->position >= 0)) {
        env->position = action == BUY ? 1 : -1;
        fee = env->price * (FEE_BPS / 1e4);
    }
    const double pnl = (env->price - old_price) * env->position - fee;
    env->pnl += pnl;
    env->last_return = (env->price - old_price) / old_price;
    const bool risky = fabs(env->last_return) > vol * RISKY_VOLS || env->regime == PANIC;
    return (struct outcome){observe(env), pnl, risky || large_return(env)};
}

int main(int argc, char **argv)
{
    static const int buckets[] = {POSITIONS, REGIMES, 2, 2};
    static struct env env;
    return run(argc, argv, &env, buckets, sizeof buckets / sizeof *buckets);
}
