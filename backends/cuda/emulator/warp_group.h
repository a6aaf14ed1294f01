// Matrix instructions of a warp group, matrix stores, and registers that change hands, emulated. Included by hopper.h.
#ifndef DSLC_WARP_GROUP_H
#define DSLC_WARP_GROUP_H

namespace hopper {

constexpr i32 group_workers = 128;

// ---------------------------------------------------------------- descriptors
// Fields as PTX, "Matrix-descriptor", has them: an address and two lengths in units of 16 bytes, an offset that is not used here, the swizzle.
struct Operand {
    i64 start, leading, stride;
    i32 swizzle, element;                                // bytes of each
    bool transposed;                                     // MN-major: the rows of the matrix are contiguous, not k

    // Where element (row, k) lies: of A a row of A, of B a column.
    i64 at(i64 row, i64 k) const {
        const i64 width = swizzle ? swizzle : 16;        // bytes of a row of the pattern, of which 8 make a group
        const i64 along = (transposed ? row : k) * element, across = transposed ? k : row;
        const i64 slabs = along / width, groups = across / 8;
        // Leading is between slabs and stride between groups of 8, except without a swizzle in MN-major operands, where it is the other way.
        const i64 far = transposed && !swizzle ? slabs * stride + groups * leading : slabs * leading + groups * stride;
        return swizzled(start + far + across % 8 * width + along % width, swizzle);
    }
};

inline Operand decoded(u64 descriptor, i32 element, bool transposed, const char *which, i32 line) {
    const i32 modes[] = {0, 128, 64, 32};
    const Operand o{(i64)(descriptor & 0x3fff) << 4, (i64)(descriptor >> 16 & 0x3fff) << 4, (i64)(descriptor >> 32 & 0x3fff) << 4, modes[descriptor >> 62],
                    element, transposed};
    // The pattern repeats after 8 rows. The offset within it, bits 49 .. 51, is what a start in its midst would have to say.
    if (o.swizzle && o.start % (8 * o.swizzle) / 128)
        engine::finding("descriptor", line, "%s begins at byte %lld, in the midst of a pattern of %d bytes", which, (long long)o.start, 8 * o.swizzle);
    return o;
}

// ---------------------------------------------------------------- accumulators under way
struct Accumulator {
    u32 values[group_workers][128];                      // what the instructions have computed; the registers hold poison
    u32 *registers[group_workers];
    i32 size, pending;                                   // registers a worker; instructions that have not ended
    i32 line;
    bool made;
};
constexpr i32 most_accumulators = 8;                     // of one warp group at once
constexpr u32 poison = 0x7fbadbad;                       // a NaN

struct Group {                                           // of 128 workers
    bool fenced[group_workers];                          // since the worker's last wait
    u32 fragments;                                       // A operands from registers, so far
};
inline Group &group_of(i32 first) { return engine::object<Group>(engine::key_of(accumulators, 0x10000 + (u32)first)); }
inline Accumulator &accumulator(i32 first, i32 n) { return engine::object<Accumulator>(engine::key_of(accumulators, (u32)first * 16 + (u32)n)); }

struct Issue {                                           // one worker's part of an instruction
    u32 *registers;
    const u32 *a;                                        // or null
    u64 descriptor_a, descriptor_b;
    i32 accumulate, line;
};

// Whether the registers hold what the accumulator's instructions left in them.
inline bool untouched(const Accumulator &x, i32 worker, const u32 *registers) {
    for (i32 i = 0; i < x.size; ++i)
        if (registers[i] != x.values[worker][i])
            return false;
    return true;
}

// The accumulator of these registers: under way already, or taken up now.
inline Accumulator &taken_up(i32 first, i32 size, Issue *const *all, bool needs_fence) {
    Accumulator *known = nullptr, *empty = nullptr;
    for (i32 n = 0; n < most_accumulators; ++n) {
        Accumulator &x = accumulator(first, n);
        if (x.made && x.registers[0] == all[0]->registers && x.size == size)
            known = &x;
        if (!x.pending && (!empty || !x.made))
            empty = &x;
    }
    const i32 line = all[0]->line;
    if (!known && !empty)
        engine::fatal("wgmma", line, "more than %d accumulators are under way", most_accumulators);
    Accumulator &x = known ? *known : *empty;
    const bool fresh = !known;
    Group &group = group_of(first);
    bool fence_missing = false;
    for (i32 i = 0; i < group_workers; ++i) {
        const bool changed = fresh || (x.pending == 0 && !untouched(x, i, all[i]->registers));
        fence_missing = fence_missing || (!group.fenced[i] && (changed || needs_fence));
        if (x.pending && x.registers[i] != all[i]->registers)
            engine::fatal("wgmma", line, "the workers of a warp group name different accumulators");
        if (x.pending)
            continue;
        x.registers[i] = all[i]->registers;
        for (i32 r = 0; r < size; ++r)
            x.values[i][r] = all[i]->registers[r];
    }
    if (fence_missing)
        engine::finding("wgmma", line, "registers of this instruction were written since the last wgmma_fence");
    x.size = size, x.made = true, x.line = line;
    return x;
}

inline void poisoned(Accumulator &x) {
    for (i32 i = 0; i < group_workers; ++i)
        for (i32 r = 0; r < x.size; ++r)
            x.registers[i][r] = poison;
}
inline void ended(Accumulator &x) {
    if (--x.pending == 0)
        for (i32 i = 0; i < group_workers; ++i)
            for (i32 r = 0; r < x.size; ++r)
                x.registers[i][r] = x.values[i][r];
}

// ---------------------------------------------------------------- arithmetic
template <class D, class T> D operand_value(T x) { return (D)x; }
template <> inline f32 operand_value<f32, f16>(f16 x) { return widen(x); }
template <> inline f32 operand_value<f32, bf16>(bf16 x) { return widen(x); }
template <> inline f32 operand_value<f32, f8e4m3>(f8e4m3 x) { return widen(x); }
template <> inline f32 operand_value<f32, f8e5m2>(f8e5m2 x) { return widen(x); }
template <> inline f32 operand_value<f32, f32>(f32 x) { return f32_of(bits_of(x) & 0xffffe000u); }     // tf32 has 10 bits after the point
// Sums are taken in f64 and rounded once, as the emulated mma does; integers wrap.
template <class D> struct Sum;
template <> struct Sum<f32> { typedef f64 type; };
template <> struct Sum<i32> { typedef u32 type; };

// Of one instruction; a: 64 rows of 32 bytes from registers, or null.
template <class T, class D> struct Product {
    Accumulator *x;
    const u8 *a;
    Operand of_a, of_b;
    i32 n, accumulate;

    void operator()(engine::Agent) {
        constexpr i32 depth = 32 / (i32)sizeof(T);
        const u8 *const arena = engine::shared_memory();
        D left[64][depth], right[depth][256];
        T value;
        for (i32 r = 0; r < 64; ++r)
            for (i32 k = 0; k < depth; ++k) {
                __builtin_memcpy(&value, a ? a + r * 32 + k * (i32)sizeof(T) : arena + of_a.at(r, k), sizeof(T));
                left[r][k] = operand_value<D>(value);
            }
        for (i32 c = 0; c < n; ++c)
            for (i32 k = 0; k < depth; ++k) {
                __builtin_memcpy(&value, arena + of_b.at(c, k), sizeof(T));
                right[k][c] = operand_value<D>(value);
            }
        for (i32 r = 0; r < 64; ++r) {
            typedef typename Sum<D>::type S;
            S row[256];
            for (i32 c = 0; c < n; ++c)
                row[c] = (S)(accumulate ? bitcast<D>(*place(r, c)) : (D)0);
            for (i32 k = 0; k < depth; ++k)
                for (i32 c = 0; c < n; ++c)
                    row[c] += (S)left[r][k] * (S)right[k][c];
            for (i32 c = 0; c < n; ++c)
                *place(r, c) = bitcast<u32>((D)row[c]);
        }
        ended(*x);
    }
    // Which register of which worker holds (row, column): 16 rows a warp, 8 of them a register pair, two columns a pair, four pairs a row of 8 columns.
    u32 *place(i32 r, i32 c) const { return &x->values[r / 16 * 32 + r % 8 * 4 + c % 8 / 2][c / 8 * 4 + r % 16 / 8 * 2 + c % 2]; }
};

// Four registers a worker hold 64 rows of 32 bytes: register i has rows + 8 (i % 2), bytes + 16 (i / 2).
inline void gather_rows(u8 *rows, Issue *const *all) {
    for (i32 w = 0; w < group_workers; ++w)
        for (i32 i = 0; i < 4; ++i)
            __builtin_memcpy(rows + (w / 32 * 16 + w % 32 / 4 + i % 2 * 8) * 32 + i / 2 * 16 + w % 4 * 4, &all[w]->a[i], 4);
}

// Units of 16 bytes that `extent` rows of an operand lie in.
inline bool reads(engine::Agent agent, const Operand &o, i32 extent) {
    const i32 unit = 16 / o.element, depth = 32 / o.element;
    bool good = true;
    for (i32 row = 0; row < extent; row += o.transposed ? unit : 1)
        for (i32 k = 0; k < depth; k += o.transposed ? 1 : unit)
            good = good && engine::agent_reads_shared(agent, o.at(row, k), 16, 16);
    return good;
}

// The registers are read and written as integers whatever their type; the compiler must not think otherwise.
template <i32 N, class T, class D, bool transpose_a, bool transpose_b> void issue(Issue *const *all, i32) {
    const Issue &one = *all[0];
    const i32 first = engine::here.worker / group_workers * group_workers;
    for (i32 i = 1; i < group_workers; ++i)
        if (all[i]->descriptor_a != one.descriptor_a || all[i]->descriptor_b != one.descriptor_b || !all[i]->accumulate != !one.accumulate)
            engine::fatal("descriptor", one.line, "worker %d gives wgmma other operands than worker %d", first + i, first);
    Accumulator &x = taken_up(first, N / 2, all, one.a != nullptr);
    Product<T, D> product{&x, nullptr, {}, decoded(one.descriptor_b, sizeof(T), transpose_b, "b", one.line), N, one.accumulate};
    i32 issuers[group_workers];
    for (i32 i = 0; i < group_workers; ++i)
        issuers[i] = first + i;
    const engine::Agent agent = engine::fork_by(issuers, group_workers, engine::key_of(numbers, 2 + (u32)first), engine::async_proxy, "wgmma", one.line);
    bool good = true;
    if (one.a) {
        u8 *rows = (u8 *)engine::object(engine::key_of(fragments, (u32)first << 8 | (group_of(first).fragments++ & 255)), 64 * 32);
        gather_rows(rows, all);
        product.a = rows;
    } else {
        product.of_a = decoded(one.descriptor_a, sizeof(T), transpose_a, "a", one.line);
        good = reads(agent, product.of_a, 64);
    }
    good = reads(agent, product.of_b, N) && good;
    ++x.pending;
    poisoned(x);
    for (i32 i = 0; i < group_workers; ++i)
        engine::group_add(products, agent, first + i);
    if (good)
        engine::submit(agent, product, 0, true);
    else
        ended(x);
}

template <i32 N, class T, class D, bool transpose_a, bool transpose_b> void together(Issue &mine) {
    static_assert(N >= 8 && N <= 256 && N % 8 == 0, "n is a multiple of 8, at most 256");
    static_assert(sizeof(D) == 4, "accumulators are of 32 bits");
    if (engine::here.workers < group_workers)
        engine::fatal("wgmma", mine.line, "a warp group is 128 workers; the block has %d", engine::here.workers);
    engine::group_collective(group_workers, "wgmma", mine.line, mine, issue<N, T, D, transpose_a, transpose_b>);
}

}  // namespace hopper

template <class T> u64 matrix_descriptor(Shared<T> p, i32 leading_bytes, i32 stride_bytes, i32 swizzle_bytes, i32 line = __builtin_LINE()) {
    if (p.at % 16 || leading_bytes % 16 || stride_bytes % 16)
        engine::finding("descriptor", line, "start %lld, leading %d and stride %d are to be multiples of 16 bytes", (long long)p.at, leading_bytes,
                        stride_bytes);
    if (swizzle_bytes != 0 && swizzle_bytes != 32 && swizzle_bytes != 64 && swizzle_bytes != 128)
        engine::finding("descriptor", line, "a swizzle is of 0, 32, 64 or 128 bytes, not %d", swizzle_bytes);
    const u64 mode = swizzle_bytes == 128 ? 1 : swizzle_bytes == 64 ? 2 : swizzle_bytes == 32 ? 3 : 0;
    return (u64)(p.at >> 4 & 0x3fff) | (u64)(leading_bytes >> 4 & 0x3fff) << 16 | (u64)(stride_bytes >> 4 & 0x3fff) << 32 | mode << 62;
}

inline void wgmma_fence() { hopper::group_of(engine::here.worker / 128 * 128).fenced[engine::here.worker % 128] = true; }
inline void wgmma_commit() { engine::group_commit(hopper::products); }
template <i32 n> void wgmma_wait(i32 line = __builtin_LINE()) {
    const i32 first = engine::here.worker / 128 * 128, worker = engine::here.worker % 128;
    for (i32 i = 0; i < hopper::most_accumulators; ++i) {
        const hopper::Accumulator &x = hopper::accumulator(first, i);
        for (i32 r = 0; x.pending && r < x.size; ++r)
            if (x.registers[worker][r] != hopper::poison) {
                engine::finding("wgmma", line, "register %d of the accumulator of line %d was written before the wait", r, x.line);
                break;
            }
    }
    engine::group_wait(hopper::products, n);
    hopper::group_of(first).fenced[worker] = false;
}
// The compiler is to think that these registers are read and written here.
template <class D, i32 n> void wgmma_hold(D (&d)[n]) { asm volatile("" :: "r"(d) : "memory"); }

template <i32 N, class T, i32 transpose_a, i32 transpose_b, class D> void wgmma(D (&d)[N / 2], u64 a, u64 b, i32 accumulate, i32 line = __builtin_LINE()) {
    static_assert(sizeof(T) == 2 || (transpose_a == 0 && transpose_b == 0), "only 16-bit operands can be transposed");
    wgmma_hold(d);
    hopper::Issue mine{(u32 *)(void *)d, nullptr, a, b, accumulate, line};
    hopper::together<N, T, D, transpose_a != 0, transpose_b != 0>(mine);
    wgmma_hold(d);
}
template <i32 N, class T, i32 transpose_b, class D> void wgmma_registers(D (&d)[N / 2], const u32 (&a)[4], u64 b, i32 accumulate, i32 line = __builtin_LINE()) {
    static_assert(sizeof(T) == 2 || transpose_b == 0, "only 16-bit operands can be transposed");
    wgmma_hold(d);
    hopper::Issue mine{(u32 *)(void *)d, a, 0, b, accumulate, line};
    hopper::together<N, T, D, false, transpose_b != 0>(mine);
    wgmma_hold(d);
}

// ---------------------------------------------------------------- fragments to shared memory
template <i32 n, class T> void store_matrix(Shared<T> row, const u32 (&r)[n], i32 line = __builtin_LINE()) {
    static_assert(n == 1 || n == 2 || n == 4, "1, 2 or 4 matrices");
    struct Lane { i64 at; const u32 *r; i32 line; } mine{row.at, r, line};
    engine::wave_collective("store_matrix", line, mine, [](Lane *const *all, i32) {
        const i32 first = engine::wave_first();
        for (i32 m = 0; m < n; ++m) {
            i32 offsets[32];
            for (i32 i = 0; i < 32; ++i)
                offsets[i] = i / 8 == m ? (i32)all[i]->at : -1;
            engine::count_banks(offsets, 32, 16, all[0]->line);
            for (i32 i = 0; i < 8; ++i) {
                u32 bytes[4];
                for (i32 j = 0; j < 4; ++j)
                    bytes[j] = all[4 * i + j]->r[m];
                __builtin_memcpy(engine::shared_write_by(first + 8 * m + i, all[8 * m + i]->at, 16, all[8 * m + i]->line), bytes, 16);
            }
        }
    });
}

// ---------------------------------------------------------------- registers of warps
namespace hopper {
constexpr i32 all_registers = 65536;                     // of an SM, compute capability 9.0
struct Pool {
    i32 free;                                            // registers that warps have given back
    i32 each[32];                                        // of a thread, by warp
    bool changed[32], made;
};
inline Pool &pool() {
    Pool &p = engine::object<Pool>(engine::key_of(register_pool, 0));
    if (!p.made) {
        // What a launch with one block on an SM gives at most; nvcc compiles for less if no claim is for so many.
        const i32 share = all_registers / (engine::here.workers > 0 ? engine::here.workers : 1) / 8 * 8, given = share > 255 ? 255 : share;
        for (i32 i = 0; i < 32; ++i)
            p.each[i] = given;
        p.made = true;
    }
    return p;
}
// Every lane of the warp comes here; the first does it. A claim waits until others have released enough.
inline void set_registers(i32 n, bool claim, const char *what, i32 line) {
    Pool &p = pool();
    const i32 wave = engine::here.wave, had = p.each[wave];
    struct Lane { i32 n; } mine{n};
    engine::wave_collective(what, line, mine, [](Lane *const *, i32) {});
    if (engine::here.lane != 0)
        return;
    if (claim ? n < had && p.changed[wave] : n > had)
        engine::finding("registers", line, "%s: the warp has %d registers a thread, and asks for %d", what, had, n);
    struct Waiting { Pool *pool; i32 needed; } waiting{&p, (n - had) * 32};
    while (p.free < waiting.needed)                      // another that waited may have been the first to take them
        engine::wait(engine::key_of(register_pool, 1), [](const void *state) {
            auto *w = static_cast<const Waiting *>(state);
            return w->pool->free >= w->needed;
        }, &waiting, what, line);
    p.free -= waiting.needed;
    p.each[wave] = n;
    p.changed[wave] = true;
    engine::notify(engine::key_of(register_pool, 1));
}
}  // namespace hopper

template <i32 n> void registers_release(i32 line = __builtin_LINE()) {
    static_assert(n >= 24 && n <= 256 && n % 8 == 0, "24 to 256 registers, in steps of 8");
    hopper::set_registers(n, false, "registers_release", line);
}
template <i32 n> void registers_claim(i32 line = __builtin_LINE()) {
    static_assert(n >= 24 && n <= 256 && n % 8 == 0, "24 to 256 registers, in steps of 8");
    hopper::set_registers(n, true, "registers_claim", line);
}

#endif
