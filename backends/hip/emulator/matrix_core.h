// The emulated part of tile_hip.h that only AMD GPUs have: matrix instructions, copies to shared memory, transposing and range-checked
// loads, barriers without order. What a chip lacks does not compile, as on the device; the chip is named as clang names it (__gfx950__).
//
// Layouts are written down here a second time, from the same documents as tile_hip_matrix.h, not shared with it.
#ifndef DSLC_MATRIX_CORE_H
#define DSLC_MATRIX_CORE_H

// ---------------------------------------------------------------- matrix instructions
template <int size, class A, class B, int n> struct Mfma;    // undefined where the chip has none
#define DSLC_MFMA(SIZE, A, B, N, D) template <> struct Mfma<SIZE, A, B, N> { typedef D result; };
#define DSLC_MFMA_BOTH(A, B, N, D) DSLC_MFMA(16, A, B, N, D) DSLC_MFMA(32, A, B, N, D)
#if defined(__gfx90a__) || defined(__gfx942__) || defined(__gfx950__)
DSLC_MFMA_BOTH(f16, f16, 4, f32)
DSLC_MFMA_BOTH(bf16, bf16, 4, f32)
DSLC_MFMA_BOTH(f32, f32, 1, f32)
DSLC_MFMA(16, f64, f64, 1, f64)
#ifdef __gfx90a__
DSLC_MFMA_BOTH(i8, i8, 4, i32)
#else
DSLC_MFMA_BOTH(i8, i8, 8, i32)
#endif
#ifdef __gfx950__
DSLC_MFMA_BOTH(f16, f16, 8, f32)
DSLC_MFMA_BOTH(bf16, bf16, 8, f32)
DSLC_MFMA_BOTH(i8, i8, 16, i32)
DSLC_MFMA_BOTH(f8e4m3, f8e4m3, 8, f32)
DSLC_MFMA_BOTH(f8e4m3, f8e5m2, 8, f32)
DSLC_MFMA_BOTH(f8e5m2, f8e4m3, 8, f32)
DSLC_MFMA_BOTH(f8e5m2, f8e5m2, 8, f32)
#endif
#endif
#undef DSLC_MFMA_BOTH
#undef DSLC_MFMA

// Row of D that element r of a lane in group g is in; the column is the lane's number in its group.
template <int size, class D> constexpr int mfma_row(int r, int g) {
    return sizeof(D) == 8 ? 4 * r + g : size == 16 ? 4 * g + r : r / 4 * 8 + 4 * g + r % 4;
}
// Integers wrap, so they are added without a sign.
template <class D> struct Adder { typedef D type; };
template <> struct Adder<i32> { typedef u32 type; };
inline i32 mfma_operand(i8 x) { return x; }
inline f64 mfma_operand(f64 x) { return x; }
template <class T> f32 mfma_operand(T x) { return widen(x); }

// One lane's part. Sums are made in order of k, each rounded: any order is allowed by the language.
template <int size, class A, class B, int n, class D> struct MfmaLane {
    D *d;
    const Vector<A, n> *a;
    const Vector<B, n> *b;
};
template <int size, class A, class B, int n, class D> void multiply_add(D *d, const Vector<A, n> &a, const Vector<B, n> &b, i32 line) {
    static_assert(__is_same(D, typename Mfma<size, A, B, n>::result), "the accumulator has another type");
    typedef MfmaLane<size, A, B, n, D> Lane;
    Lane mine{d, &a, &b};
    engine::wave_collective(size == 16 ? "mfma_16x16" : "mfma_32x32", line, mine, [](Lane *const *all, i32 count) {
        constexpr int groups = 64 / size, depth = n * groups, slots = size * size / 64;
        typedef typename Adder<D>::type S;
        if (count != 64)
            return engine::fatal("wave", 0, "a matrix instruction works on whole waves of 64, this one has %d", count);
        S left[size][depth], right[depth][size], sum[size][size];
        for (int lane = 0; lane < 64; ++lane)
            for (int e = 0; e < n; ++e) {
                left[lane % size][lane / size * n + e] = (S)mfma_operand((*all[lane]->a)[e]);
                right[lane / size * n + e][lane % size] = (S)mfma_operand((*all[lane]->b)[e]);
            }
        for (int lane = 0; lane < 64; ++lane)
            for (int r = 0; r < slots; ++r)
                sum[mfma_row<size, D>(r, lane / size)][lane % size] = (S)all[lane]->d[r];
        for (int i = 0; i < size; ++i)
            for (int k = 0; k < depth; ++k)
                for (int j = 0; j < size; ++j)
                    sum[i][j] += left[i][k] * right[k][j];
        for (int lane = 0; lane < 64; ++lane)
            for (int r = 0; r < slots; ++r)
                all[lane]->d[r] = (D)sum[mfma_row<size, D>(r, lane / size)][lane % size];
    });
}
template <class A, class B, int n, class D>
void mfma_16x16(D (&d)[4], const Vector<A, n> &a, const Vector<B, n> &b, i32 line = __builtin_LINE()) { multiply_add<16>(d, a, b, line); }
template <class A, class B, int n, class D>
void mfma_32x32(D (&d)[16], const Vector<A, n> &a, const Vector<B, n> &b, i32 line = __builtin_LINE()) { multiply_add<32>(d, a, b, line); }
template <class T> void mfma_16x16(T (&d)[4], T a, T b, i32 line = __builtin_LINE()) {
    multiply_add<16>(d, Vector<T, 1>{{a}}, Vector<T, 1>{{b}}, line);
}
template <class T> void mfma_32x32(T (&d)[16], T a, T b, i32 line = __builtin_LINE()) {
    multiply_add<32>(d, Vector<T, 1>{{a}}, Vector<T, 1>{{b}}, line);
}

// ---------------------------------------------------------------- loads that give 0 outside a tensor
template <class T> struct Buffer {
    Global<const T> base;
    i64 bytes;

    // Where the word at `offset` is, or 0 for one outside. The hardware judges a word by its first byte.
    u64 word(i64 offset, i32 bytes_of_word, i32 line) const {
        const i64 unsigned_offset = (i64)(u32)offset;
        if (offset != (i32)offset)
            engine::finding("buffer", line, "element %lld: its byte offset has more than 32 bits", (long long)(offset / (i64)sizeof(T)));
        if (unsigned_offset >= bytes)
            return 0;
        if (unsigned_offset + bytes_of_word > bytes)
            engine::finding("buffer", line, "a word of %d bytes at byte %lld is half outside of the %lld bytes of the buffer", bytes_of_word,
                            (long long)offset, (long long)bytes);
        return base.number() + (u64)offset;
    }
};
template <class T> Buffer<typename Plain<T>::type> make_buffer(Global<T> base, index_t elements, i32 line = __builtin_LINE()) {
    if (elements < 0 || elements > (i64)0x7fffffff / (i64)sizeof(T))
        engine::finding("buffer", line, "%lld elements: a buffer has 0 to 2^31 - 1 bytes", (long long)elements);
    return {{base.address}, elements * (i64)sizeof(T)};
}
template <int n, class T> Vector<T, n> buffer_load(Buffer<T> buffer, i32 element, i32 line = __builtin_LINE()) {
    Vector<T, n> x = {};
    constexpr i32 word = sizeof x < 4 ? (i32)sizeof x : 4;
    for (i32 at = 0; at < (i32)sizeof x; at += word)
        if (u64 address = buffer.word((i64)element * (i64)sizeof(T) + at, word, line))
            __builtin_memcpy((u8 *)&x + at, engine::global_read(address, word, line), word);
    return x;
}

// ---------------------------------------------------------------- copies to shared memory
// A copy is an agent of its wave. Copies of a wave land in order, and are counted in one counter that every lane waits on.
constexpr u32 copies_family = 80;                            // of engine::key_of
constexpr i32 copies_kind = 1;                               // of engine::group_add

struct CopyLane {
    i64 base;
    u64 from[4];                                             // addresses of its words, 0: zeros
    i32 bytes, words, line;
};
struct CopyEffect {
    i64 base;
    i32 bytes, words, count;
    u64 from[64][4];
    void operator()(engine::Agent) const {
        for (i32 lane = 0; lane < count; ++lane)
            for (i32 w = 0; w < words; ++w) {
                u8 *to = engine::shared_memory() + base + lane * bytes + w * (bytes / words);
                if (from[lane][w])
                    __builtin_memcpy(to, (const void *)from[lane][w], (size_t)(bytes / words));
                else
                    __builtin_memset(to, 0, (size_t)(bytes / words));
            }
    }
};
inline void issue_copy(CopyLane *const *all, i32 count) {
    const i32 first = engine::wave_first(), line = all[0]->line, bytes = all[0]->bytes, words = all[0]->words;
    i32 issuers[64] = {};
    CopyEffect effect = {all[0]->base, bytes, words, count, {}};
    for (i32 lane = 0; lane < count; ++lane) {
        issuers[lane] = first + lane;
        if (all[lane]->base != all[0]->base)
            engine::finding("copy", line, "lane %d gives %lld as the place in shared memory, lane 0 %lld: it is one for the wave", lane,
                            (long long)all[lane]->base, (long long)all[0]->base);
        for (i32 w = 0; w < words; ++w)
            effect.from[lane][w] = all[lane]->from[w];
    }
    const engine::Agent agent = engine::fork_by(issuers, count, engine::key_of(copies_family, (u32)first), engine::generic_proxy, "copy_to_shared", line);
    bool right = engine::agent_writes_shared(agent, all[0]->base, (i64)count * bytes, 4);
    for (i32 lane = 0; lane < count; ++lane)
        for (i32 w = 0; w < words; ++w)
            if (all[lane]->from[w])
                right &= engine::agent_reads_global(agent, all[lane]->from[w], bytes / words, 4);
    if (right)
        engine::submit(agent, effect, 0, true);
    engine::group_add(copies_kind, agent, first);
    engine::group_commit(copies_kind, first);
}
template <int bytes> constexpr bool can_copy =
#ifdef __gfx950__
    bytes == 16 ||
#endif
    bytes == 4;
template <int bytes, class T, class F> void copy_to_shared(Shared<T> wave_base, Global<F> from, i32 line = __builtin_LINE()) {
    static_assert(can_copy<bytes>, "this chip does not copy so many bytes for a lane");
    CopyLane mine = {wave_base.at, {from.number()}, bytes, 1, line};
    engine::wave_collective("copy_to_shared", line, mine, issue_copy);
}
template <int bytes, class T, class F> void copy_to_shared(Shared<T> wave_base, Buffer<F> from, i32 element, i32 line = __builtin_LINE()) {
    static_assert(can_copy<bytes>, "this chip does not copy so many bytes for a lane");
    CopyLane mine = {wave_base.at, {}, bytes, bytes / 4, line};
    for (i32 w = 0; w < bytes / 4; ++w)
        mine.from[w] = from.word((i64)element * (i64)sizeof(F) + 4 * w, 4, line);
    engine::wave_collective("copy_to_shared", line, mine, issue_copy);
}
template <int n> void wait_copies() {
    static_assert(n >= 0 && n < 64, "the counter has 6 bits");
    engine::group_wait(copies_kind, n, engine::wave_first());
}

// ---------------------------------------------------------------- transposing load
#ifdef __gfx950__
struct TransposedLane {
    i64 at;
    i32 line;
    u16 got[4];
};
template <class T> Vector<typename Plain<T>::type, 4> load_transposed(Shared<T> p, i32 line = __builtin_LINE()) {
    static_assert(sizeof(T) == 2, "16-bit elements");
    TransposedLane mine = {p.at, line, {}};
    engine::wave_collective("load_transposed", line, mine, [](TransposedLane *const *all, i32 count) {
        u16 read[64][4];
        i32 offsets[64] = {};
        for (i32 lane = 0; lane < count; ++lane) {
            offsets[lane] = (i32)all[lane]->at;
            __builtin_memcpy(read[lane], engine::shared_read_by(engine::wave_first() + lane, all[lane]->at, 8, all[lane]->line), 8);
        }
        engine::count_banks(offsets, count, 8, all[0]->line);
        for (i32 lane = 0; lane < count; ++lane)
            for (i32 e = 0; e < 4; ++e)
                all[lane]->got[e] = read[lane / 16 * 16 + 4 * e + lane % 16 / 4][lane % 4];
    });
    Vector<typename Plain<T>::type, 4> x;
    __builtin_memcpy(&x, mine.got, sizeof x);
    return x;
}
#endif

// ---------------------------------------------------------------- what is the same in a wave
struct UniformLane {
    i32 x, line;
};
inline i32 uniform(i32 x, i32 line = __builtin_LINE()) {
    UniformLane mine = {x, line};
    engine::wave_collective("uniform", line, mine, [](UniformLane *const *all, i32 count) {
        for (i32 lane = 1; lane < count; ++lane)
            if (all[lane]->x != all[0]->x)
                return engine::finding("uniform", all[0]->line, "lane %d has %d, lane 0 %d", lane, all[lane]->x, all[0]->x);
    });
    return x;
}

// ---------------------------------------------------------------- order of instructions
template <i32 n> void priority() { static_assert(n >= 0 && n <= 3, "priorities are 0 to 3"); }
inline void order_fence() {}

// One barrier of the hardware: waves meet, wherever each of them is in the program. step_sync orders memory among the waves that say
// step_sync; half_sync teaches nobody anything. A block that uses these uses no block_sync between them (there: the same barrier).
struct Meeting {
    i32 arrived;
    u32 times;
    engine::Event events[4];                                 // of this time and of earlier ones that woken workers may not have run after yet
};
struct MeetingWait {
    const Meeting *meeting;
    u32 times;
};
inline void meet(const char *what, bool ordered, i32 line) {
    const u64 key = engine::key_of(copies_family + 1, 0);
    struct Nothing {} nothing;
    const auto together = [](Nothing *const *, i32) {};
    engine::wave_collective(what, line, nothing, together, ordered);    // one lane then speaks for its wave
    const bool speaks = ordered && engine::here.lane == 0;
    Meeting &meeting = engine::object<Meeting>(key);
    const MeetingWait mine = {&meeting, meeting.times};
    engine::Event &event = meeting.events[mine.times % 4];
    if (speaks)
        event.release();
    if (++meeting.arrived == engine::here.workers) {
        meeting.arrived = 0;
        meeting.events[++meeting.times % 4].clear();
        engine::notify(key);
    } else {
        engine::wait(key, [](const void *state) {
            auto *w = static_cast<const MeetingWait *>(state);
            return w->meeting->times != w->times;
        }, &mine, what, line);
    }
    if (speaks)
        event.acquire();
    if (ordered)
        engine::wave_collective(what, line, nothing, together, true);
}
inline void half_sync(i32 line = __builtin_LINE()) { meet("half_sync", false, line); }
inline void step_sync(i32 line = __builtin_LINE()) { meet("step_sync", true, line); }

#endif
