/* What both yardsticks share: the learner, timing, arguments and output. The learner is tabular Q-learning (C. J. C. H.
   Watkins, "Learning from Delayed Rewards", 1989) of two tables, one for trading and one for communication, each
   explored epsilon-greedily. The including program defines the environment declared below and calls run().

   Output on stdout: a line `seconds <%.9f>`, the wall time of training alone; then, with the argument `dump`, a line
   `q <digits> <3 values>` for each state (a state never met has zeros), `comm <digits> <4 values>` likewise and
   `reward <value>` for each episode. <digits> are the features, joined by commas; values are hexadecimal floats (%a);
   columns stand in the order of enum action and enum comm. Bad arguments: a message on stderr, exit status 2. */

#ifndef TRAINER_H
#define TRAINER_H

#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mt19937.h"

#define EPISODE_LENGTH 64
#define DISCOUNT 0.92
#define LEARNING_RATE 0.2
#define EXPLORATION 1.0
#define EXPLORATION_DECAY 0.995
#define EXPLORATION_FLOOR 0.05

enum action { HOLD, BUY, SELL, ACTIONS };
enum comm { SILENT, POSITIVE, ALERT, PERSIST, COMMS };

struct outcome {
    int state; /* row-major index of the features */
    double reward;
    bool alarming; /* whether an alert is right */
};

struct env;
static void env_seed(struct env *env, uint64_t seed);
static int env_reset(struct env *env); /* the first state of an episode */
static struct outcome env_step(struct env *env, enum action action);

struct learner {
    struct mt19937 rng;
    double (*q)[ACTIONS];
    double (*comm_q)[COMMS];
};

/* The first maximum's index */
static inline int greedy(const double *values, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        if (values[i] > values[best])
            best = i;
    return best;
}

static inline double maximum(const double *values, int n)
{
    double best = values[0];
    for (int i = 1; i < n; i++)
        if (values[i] > best)
            best = values[i];
    return best;
}

/* What is added to the reward for the communication table */
static inline double comm_bonus(enum comm comm, bool alarming)
{
    static const double bonus[2][COMMS] = {{0.0, 0.05, -0.1, 0.05}, {0.0, 0.05, 0.1, 0.05}};
    return bonus[alarming][comm];
}

static double train_episode(struct learner *learner, struct env *env, double epsilon)
{
    struct mt19937 *rng = &learner->rng;
    double total = 0.0;
    int state = env_reset(env);

    for (int t = 0; t < EPISODE_LENGTH; t++) {
        double *q = learner->q[state], *comm_q = learner->comm_q[state];
        const int action = mt_random(rng) < epsilon ? mt_below(rng, ACTIONS) : greedy(q, ACTIONS);
        const int comm = mt_random(rng) < epsilon ? mt_below(rng, COMMS) : greedy(comm_q, COMMS);

        const struct outcome next = env_step(env, action);
        const double target = next.reward + DISCOUNT * maximum(learner->q[next.state], ACTIONS);
        q[action] += LEARNING_RATE * (target - q[action]);

        const double comm_reward = next.reward + comm_bonus(comm, next.alarming);
        const double comm_target = comm_reward + DISCOUNT * maximum(learner->comm_q[next.state], COMMS);
        comm_q[comm] += LEARNING_RATE * (comm_target - comm_q[comm]);

        total += next.reward;
        state = next.state;
    }
    return total;
}

static void train(struct learner *learner, struct env *env, uint64_t episodes, double *rewards)
{
    double exploration = EXPLORATION;
    for (uint64_t i = 0; i < episodes; i++) {
        rewards[i] = train_episode(learner, env, exploration > EXPLORATION_FLOOR ? exploration : EXPLORATION_FLOOR);
        exploration *= EXPLORATION_DECAY;
    }
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + now.tv_nsec * 1e-9;
}

static bool parse_number(const char *text, uint64_t *number)
{
    char *end;
    errno = 0;
    *number = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && errno == 0;
}

static void print_row(const char *name, int state, const int *buckets, int features, const double *values, int n)
{
    int stride = 1;
    for (int i = 0; i < features; i++)
        stride *= buckets[i];
    printf("%s", name);
    for (int i = 0; i < features; i++) {
        stride /= buckets[i];
        printf("%c%d", i ? ',' : ' ', state / stride % buckets[i]);
    }
    for (int i = 0; i < n; i++)
        printf(" %a", values[i]);
    printf("\n");
}

/* The program: `buckets` says how many values each of the `features` has */
static int run(int argc, char **argv, struct env *env, const int *buckets, int features)
{
    uint64_t episodes, seed;
    const bool dump = argc == 4 && strcmp(argv[3], "dump") == 0;
    if ((argc != 3 && !dump) || !parse_number(argv[1], &episodes) || !parse_number(argv[2], &seed) || episodes == 0) {
        fprintf(stderr, "usage: %s EPISODES SEED [dump], with EPISODES >= 1 and 0 <= SEED < 2**64\n", argv[0]);
        return 2;
    }

    int states = 1;
    for (int i = 0; i < features; i++)
        states *= buckets[i];
    static struct learner learner;
    double *rewards = calloc(episodes, sizeof *rewards);
    learner.q = calloc(states, sizeof *learner.q);
    learner.comm_q = calloc(states, sizeof *learner.comm_q);
    if (!rewards || !learner.q || !learner.comm_q) {
        fprintf(stderr, "%s: out of memory\n", argv[0]);
        return 1;
    }
    mt_seed(&learner.rng, seed); /* the environment's stream too, as in the reference */
    env_seed(env, seed);

    const double started = seconds_now();
    train(&learner, env, episodes, rewards);
    printf("seconds %.9f\n", seconds_now() - started);

    for (int state = 0; dump && state < states; state++)
        print_row("q", state, buckets, features, learner.q[state], ACTIONS);
    for (int state = 0; dump && state < states; state++)
        print_row("comm", state, buckets, features, learner.comm_q[state], COMMS);
    for (uint64_t i = 0; dump && i < episodes; i++)
        printf("reward %a\n", rewards[i]);
    free(rewards);
    free(learner.q);
    free(learner.comm_q);
    return 0;
}

#endif
