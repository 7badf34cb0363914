/* A yardstick for the benchmark: a training of idi_fast's default mode on market bars, default config, in plain C, step
   after step: of the simulated crypto market, or of a price history. Equal to the plain-Python oracle in every state
   visited, and in values up to rounding, since windows slide here as they do in idi_fast, while the oracle sums each
   afresh. Generator: sixteen SFC64 in turn (C. Doty-Humphrey, PractRand). Normals: G. E. P. Box and M. E. Muller, "A note
   on the generation of random normal deviates", 1958, by the C library's functions. Learner: Watkins 1989.

   Build: cc -O3 -march=native -ffp-contract=off -o market market.c -lm
   Usage: market EPISODES INPUT [dump]
   INPUT, numbers as text: 16 x 3 seeds of the environment's generator and as many of the agent's; buckets of price,
   volume, trend and scarcity, and the inner edges of each; the typical volatility; the fee rate; the number of bars of a
   history, 0 for the simulated market; and as many logarithms of close, of fill and of 1 + volume.
   Output on stdout: as of trainer.h; the features are the four buckets, mood and position + 1. What comes before the
   first step, such as the features of a history, is not timed. Bad arguments: a message on stderr, exit status 2. */

#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EPISODE_LENGTH 64
#define DISCOUNT 0.92
#define LEARNING_RATE 0.2
#define EXPLORATION_DECAY 0.995
#define EXPLORATION_FLOOR 0.05
#define SCARCITY_WEIGHT 0.5
#define ETHICS_BONUS 0.75
#define CLARITY_WEIGHT 0.2
#define MOODS 4

#define REGIME_CHANGE 0.05 /* probability per step */
#define VOL_BASE 0.01
#define VOL_PANIC 0.04
#define SHOCK_PROB 0.02
#define SHOCK_SCALE 0.05
#define RISKY_VOLS 2.5
#define TURN (2.0 * 3.14159265358979323846)

enum { HOLD, BUY, SELL, ACTIONS };
enum { COMMS = 4, FEATURES = 4, MAX_EDGES = 16, LANES = 16, ROUNDS = 64 };
enum { BULL, BEAR, CHOP, PANIC, REGIMES };
static const double DRIFT[REGIMES] = {0.002, -0.002, 0.0, -0.002 * 1.5};
static const double VOL[REGIMES] = {VOL_BASE, VOL_BASE, VOL_BASE, VOL_PANIC};

struct sfc {
    uint64_t a[LANES], b[LANES], c[LANES], counter[LANES], words[ROUNDS * LANES];
    int next;
};

static void sfc_refill(struct sfc *sfc, int rounds)
{
    for (int turn = 0; turn < rounds; turn++)
        for (int k = 0; k < LANES; k++) {
            const uint64_t word = sfc->a[k] + sfc->b[k] + sfc->counter[k]++;
            sfc->a[k] = sfc->b[k] ^ (sfc->b[k] >> 11);
            sfc->b[k] = sfc->c[k] + (sfc->c[k] << 3);
            sfc->c[k] = ((sfc->c[k] << 24) | (sfc->c[k] >> 40)) + word;
            sfc->words[turn * LANES + k] = word;
        }
    sfc->next = 0;
}

static inline uint64_t sfc_word(struct sfc *sfc)
{
    if (sfc->next == ROUNDS * LANES)
        sfc_refill(sfc, ROUNDS);
    return sfc->words[sfc->next++];
}

static inline double upper(uint64_t word)
{
    return (double)(word >> 32) / 4294967296.0;
}

static inline uint64_t lower(uint64_t word)
{
    return word & 0xffffffffu;
}

/* Mean and squared deviations of the last values, summed afresh once per lap of the ring */
struct moments {
    int window, slot, count;
    double ring[64], mean, squares;
};

static inline double push_deviation(struct moments *m, double value)
{
    const double old = m->ring[m->slot], before = m->mean;
    m->ring[m->slot] = value;
    if (m->count < m->window) {
        m->mean += (value - before) / ++m->count;
        m->squares += (value - before) * (value - m->mean);
    } else {
        m->mean += (value - old) / m->window;
        m->squares += (value - old) * ((value - m->mean) + (old - before));
    }
    if (++m->slot == m->window) {
        m->slot = 0;
        double sum = 0.0, squares = 0.0;
        for (int k = 0; k < m->window; k++)
            sum += m->ring[k];
        m->mean = sum / m->window;
        for (int k = 0; k < m->window; k++)
            squares += (m->ring[k] - m->mean) * (m->ring[k] - m->mean);
        m->squares = squares;
    }
    const double deviation = m->count < 2 ? 0.0 : sqrt(fmax(m->squares, 0.0) / (m->count - 1));
    return deviation > 1e-12 * fabs(m->mean) ? deviation : 0.0;
}

static inline double push_zscore(struct moments *m, double value)
{
    const double deviation = push_deviation(m, value);
    return deviation > 0.0 ? (value - m->mean) / deviation : 0.0;
}

/* The highest of the last values: that of this lap, and of the last lap from each place to its end */
struct highest {
    int window, slot;
    double ring[64], lap;
};

static inline double push_drawdown(struct highest *h, double value)
{
    if (h->slot == h->window) {
        h->slot = 0;
        h->lap = -INFINITY;
        for (int k = h->window - 2; k >= 0; k--)
            h->ring[k] = fmax(h->ring[k], h->ring[k + 1]);
    }
    h->lap = value > h->lap ? value : h->lap;
    h->ring[h->slot++] = value;
    const double earlier = h->slot < h->window ? h->ring[h->slot] : h->lap;
    return value - (h->lap > earlier ? h->lap : earlier);
}

/* What an agent may see of a bar, and what a position earns by it in units of volatility */
struct bar {
    int observation;
    double gap, change, cost, scarcity;
    bool risk;
};

struct encoder {
    int sizes[FEATURES];
    double edges[FEATURES][MAX_EDGES], typical, fee_rate;
    struct moments price, volume, volatility;
    struct highest top;
    double average, last_close, last_volatility;
    long seen;
    int last_scarcity;
};

static inline int bucket(const double *edges, int n, double value)
{
    int found = 0;
    for (int k = 0; k < n; k++)
        found += edges[k] <= value;
    return found;
}

/* e^x - 1 */
static inline double simple_return(double x)
{
    if (!(fabs(x) <= 0x1p-6))
        return expm1(x);
    const double rest = 1.0 / 120.0 + x * (1.0 / 720.0 + x * (1.0 / 5040.0));
    return x + x * x * (1.0 / 2.0 + x * (1.0 / 6.0 + x * (1.0 / 24.0 + x * rest)));
}

static inline struct bar encode(struct encoder *e, double close, const double *fill, double volume)
{
    const bool is_first = e->seen == 0;
    const double moved = is_first ? 0.0 : close - e->last_close;
    e->average = is_first ? close : e->average + 2.0 / 33.0 * (close - e->average);
    const double values[FEATURES] = {push_zscore(&e->price, close), push_zscore(&e->volume, volume),
                                     close - e->average, push_drawdown(&e->top, close)};
    double volatility = is_first ? 0.0 : push_deviation(&e->volatility, moved);
    volatility = volatility > 16.0 * 0x1p-52 * fabs(close) ? volatility : 0.0;
    int observation = 0, digit = 0;
    for (int k = 0; k < FEATURES; k++) {
        digit = bucket(e->edges[k], e->sizes[k] - 1, values[k]);
        observation = observation * e->sizes[k] + digit;
    }
    struct bar bar = {.observation = observation};
    if (!is_first) {
        const double scale = fmax(e->last_volatility, 0.1 * e->typical);
        if (fill)
            bar.gap = simple_return(*fill - e->last_close) / scale;
        bar.change = simple_return(fill ? close - *fill : moved) / scale;
        bar.cost = e->fee_rate / scale;
        bar.scarcity = (double)(digit - e->last_scarcity) / (e->sizes[FEATURES - 1] - 1);
        bar.risk = fabs(moved) > RISKY_VOLS * scale;
    }
    e->last_volatility = e->seen < e->volatility.window ? fmax(volatility, e->typical) : volatility;
    e->last_close = close;
    e->last_scarcity = digit;
    e->seen++;
    return bar;
}

struct market {
    struct sfc rng;
    struct encoder encoder;
    double close, volume, highest[REGIMES], lowest[REGIMES];
    int regime;
    long n_bars; /* of a history, 0 if there is none */
    long at;
    struct bar *bars;
};

static inline struct bar simulated_bar(struct market *m)
{
    const uint64_t change = sfc_word(&m->rng), radial = sfc_word(&m->rng);
    const uint64_t angular = sfc_word(&m->rng), rest = sfc_word(&m->rng);
    if (upper(change) < REGIME_CHANGE)
        m->regime = (int)(lower(change) >> 30);
    const double uniform = 1.0 - (double)(radial >> 12) * 0x1p-52, angle = upper(angular) * TURN;
    const double radius = sqrt(-2.0 * log(uniform));
    double moved = DRIFT[m->regime] + cos(angle) * radius * VOL[m->regime];
    if (upper(rest) < SHOCK_PROB)
        moved += sin(angle) * radius * SHOCK_SCALE;
    m->close += moved;
    m->volume = 0.8 * m->volume + (fabs(moved) * (0.2 / VOL_BASE) + ((double)lower(rest) / 4294967296.0 - 0.5));
    struct bar bar = encode(&m->encoder, m->close, NULL, m->volume);
    bar.risk = m->regime == PANIC || moved > m->highest[m->regime] || moved < m->lowest[m->regime];
    return bar;
}

static inline struct bar market_bar(struct market *m, bool is_reset)
{
    if (!m->n_bars)
        return simulated_bar(m);
    const uint64_t word = sfc_word(&m->rng);
    m->at = is_reset ? (long)((__extension__(unsigned __int128) word * (uint64_t)(m->n_bars - EPISODE_LENGTH)) >> 64)
                     : m->at + 1;
    return m->bars[m->at];
}

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

struct learner {
    struct sfc rng;
    double (*q)[ACTIONS];
    double (*comm_q)[COMMS];
};

static inline int explored(uint64_t word, uint64_t threshold, int n, int best)
{
    return (word >> 32) < threshold ? (int)((lower(word) * (uint64_t)n) >> 32) : best;
}

static double train_episode(struct learner *learner, struct market *market, double epsilon)
{
    static const double bonus[2][COMMS] = {{0.0, 0.05, -0.1, 0.05}, {0.0, 0.05, 0.1, 0.05}};
    const uint64_t threshold = (uint64_t)(epsilon * 4294967296.0);
    int position = 0, mood = 0;
    int state = (market_bar(market, true).observation * MOODS + mood) * 3 + position + 1;
    double total = 0.0;
    sfc_word(&learner->rng), sfc_word(&learner->rng); /* of the reset row */

    for (int t = 0; t < EPISODE_LENGTH; t++) {
        double *q = learner->q[state], *comm_q = learner->comm_q[state];
        const int action = explored(sfc_word(&learner->rng), threshold, ACTIONS, greedy(q, ACTIONS));
        const int comm = explored(sfc_word(&learner->rng), threshold, COMMS, greedy(comm_q, COMMS));

        const struct bar bar = market_bar(market, false);
        const int old = position;
        position = action == HOLD ? position : action == BUY ? 1 : -1;
        const double pnl = old * bar.gap + position * bar.change - abs(position - old) * bar.cost;
        double reward = pnl + bar.scarcity * SCARCITY_WEIGHT + (position >= 0 ? ETHICS_BONUS : -ETHICS_BONUS);
        if (reward > 0.5 && mood < MOODS - 1)
            mood++;
        else if (reward < -0.2 && mood > 0)
            mood--;
        reward += CLARITY_WEIGHT * mood;

        const int next = (bar.observation * MOODS + mood) * 3 + position + 1;
        const double target = reward + DISCOUNT * maximum(learner->q[next], ACTIONS);
        q[action] += LEARNING_RATE * (target - q[action]);
        const double comm_target = reward + bonus[bar.risk][comm] + DISCOUNT * maximum(learner->comm_q[next], COMMS);
        comm_q[comm] += LEARNING_RATE * (comm_target - comm_q[comm]);
        total += reward;
        state = next;
    }
    return total;
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + now.tv_nsec * 1e-9;
}

static double *read_numbers(FILE *file, long n, double *into)
{
    for (long k = 0; k < n; k++)
        if (fscanf(file, "%lf", into + k) != 1)
            exit((fprintf(stderr, "the input ends early\n"), 2));
    return into;
}

static void seed(FILE *file, struct sfc *sfc)
{
    for (int k = 0; k < LANES; k++) {
        if (fscanf(file, "%" SCNu64 " %" SCNu64 " %" SCNu64, &sfc->a[k], &sfc->b[k], &sfc->c[k]) != 3)
            exit((fprintf(stderr, "the input has no seeds\n"), 2));
        sfc->counter[k] = 1;
    }
    sfc_refill(sfc, 12); /* discarded */
    sfc->next = ROUNDS * LANES;
}

static void open_market(FILE *file, struct market *m)
{
    struct encoder *e = &m->encoder;
    double number;
    for (int k = 0; k < FEATURES; k++)
        e->sizes[k] = (int)*read_numbers(file, 1, &number);
    for (int k = 0; k < FEATURES; k++)
        if (e->sizes[k] < 2 || e->sizes[k] > MAX_EDGES + 1)
            exit((fprintf(stderr, "expected 2 to %d buckets\n", MAX_EDGES + 1), 2));
        else
            read_numbers(file, e->sizes[k] - 1, e->edges[k]);
    e->typical = *read_numbers(file, 1, &number);
    e->fee_rate = *read_numbers(file, 1, &number);
    e->price.window = 16, e->volume.window = 32, e->volatility.window = 32;
    e->top = (struct highest){.window = 64, .lap = -INFINITY};
    for (int k = 0; k < 64; k++)
        e->top.ring[k] = -INFINITY;
    m->regime = CHOP;
    for (int k = 0; k < REGIMES; k++) {
        m->highest[k] = log1p(RISKY_VOLS * VOL[k]);
        m->lowest[k] = log1p(-RISKY_VOLS * VOL[k]);
    }
    m->n_bars = (long)*read_numbers(file, 1, &number);
    if (!m->n_bars)
        return;
    double *columns = calloc(3 * (size_t)m->n_bars, sizeof *columns);
    m->bars = calloc((size_t)m->n_bars, sizeof *m->bars);
    if (!columns || !m->bars || m->n_bars <= EPISODE_LENGTH)
        exit((fprintf(stderr, "out of memory, or too few bars\n"), 1));
    read_numbers(file, 3 * m->n_bars, columns);
    for (long t = 0; t < m->n_bars; t++)
        m->bars[t] = encode(e, columns[t], columns + m->n_bars + t, columns[2 * m->n_bars + t]);
    free(columns);
}

static void print_row(const char *name, int state, const int *sizes, const double *values, int n)
{
    const int position = state % 3, mood = state / 3 % MOODS;
    int rest = state / 3 / MOODS, digits[FEATURES];
    for (int k = FEATURES - 1; k >= 0; k--) {
        digits[k] = rest % sizes[k];
        rest /= sizes[k];
    }
    printf("%s %d,%d,%d,%d,%d,%d", name, digits[0], digits[1], digits[2], digits[3], mood, position);
    for (int k = 0; k < n; k++)
        printf(" %a", values[k]);
    printf("\n");
}

int main(int argc, char **argv)
{
    const bool dump = argc == 4 && strcmp(argv[3], "dump") == 0;
    const long episodes = argc >= 3 ? atol(argv[1]) : 0;
    FILE *file = episodes > 0 && (argc == 3 || dump) ? fopen(argv[2], "r") : NULL;
    if (!file) {
        fprintf(stderr, "usage: %s EPISODES INPUT [dump], with EPISODES >= 1\n", argv[0]);
        return 2;
    }
    static struct market market;
    static struct learner learner;
    seed(file, &market.rng);
    seed(file, &learner.rng);
    open_market(file, &market);
    fclose(file);
    int states = 3 * MOODS;
    for (int k = 0; k < FEATURES; k++)
        states *= market.encoder.sizes[k];
    double *rewards = calloc((size_t)episodes, sizeof *rewards);
    learner.q = calloc((size_t)states, sizeof *learner.q);
    learner.comm_q = calloc((size_t)states, sizeof *learner.comm_q);
    if (!rewards || !learner.q || !learner.comm_q) {
        fprintf(stderr, "%s: out of memory\n", argv[0]);
        return 1;
    }

    const double started = seconds_now();
    double exploration = 1.0;
    for (long i = 0; i < episodes; i++) {
        rewards[i] = train_episode(&learner, &market, fmax(exploration, EXPLORATION_FLOOR));
        exploration *= EXPLORATION_DECAY;
    }
    printf("seconds %.9f\n", seconds_now() - started);

    for (int state = 0; dump && state < states; state++)
        print_row("q", state, market.encoder.sizes, learner.q[state], ACTIONS);
    for (int state = 0; dump && state < states; state++)
        print_row("comm", state, market.encoder.sizes, learner.comm_q[state], COMMS);
    for (long i = 0; dump && i < episodes; i++)
        printf("reward %a\n", rewards[i]);
    free(rewards);
    free(learner.q);
    free(learner.comm_q);
    free(market.bars);
    return 0;
}
