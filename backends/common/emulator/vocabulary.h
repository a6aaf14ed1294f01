// The words that every emulated GPU target has: Shared, Global, Vector, shuffles, atomics, launch. A target's header defines `lanes` and
// its bank model `wavefronts` first. Template functions do not see through the proxies of operator[]: `f16 x = p[i];` before cast<f32>(x).
#ifndef DSLC_VOCABULARY_H
#define DSLC_VOCABULARY_H

#include "engine.h"
#include "tile_math.h"

// Functions of headers that generated source calls end their parameters with DSLC_AT and begin with DSLC_FROM; devices define both as nothing.
#define DSLC_AT , i32 dslc_line = __builtin_LINE()
#define DSLC_FROM engine::CallSite dslc_site(dslc_line);

template <class T> struct Plain { typedef T type; };
template <class T> struct Plain<const T> { typedef T type; };

struct SharedSpace {
    typedef i64 address;
    static const void *read(address a, i32 bytes, i32 line, i32 alignment) { return engine::shared_read(a, bytes, line, alignment); }
    static void *write(address a, i32 bytes, i32 line, i32 alignment) { return engine::shared_write(a, bytes, line, alignment); }
    static void *atomic(address a, i32 bytes, i32 line, i32 alignment) { return engine::shared_atomic(a, bytes, line, alignment); }
};
struct GlobalSpace {
    typedef u64 address;
    static const void *read(address a, i32 bytes, i32 line, i32 alignment) { return engine::global_read(a, bytes, line, alignment); }
    static void *write(address a, i32 bytes, i32 line, i32 alignment) { return engine::global_write(a, bytes, line, alignment); }
    static void *atomic(address a, i32 bytes, i32 line, i32 alignment) { return engine::global_atomic(a, bytes, line, alignment); }
};

// What p[i] is: reads when it is converted to T, writes when it is assigned to.
template <class T, class Space> struct Reference {
    typedef typename Plain<T>::type Value;
    typename Space::address at;
    i32 line;

    operator Value() const {
        Value x;
        __builtin_memcpy(&x, Space::read(at, (i32)sizeof(T), line, (i32)alignof(T)), sizeof(T));
        return x;
    }
    const Reference &operator=(Value x) const {
        static_assert(!__is_same(T, const Value), "the tensor is read only");
        __builtin_memcpy(Space::write(at, (i32)sizeof(T), line, (i32)alignof(T)), &x, sizeof(T));
        return *this;
    }
    Reference(typename Space::address at, i32 line) : at(at), line(line) {}
    Reference(const Reference &) = default;
    const Reference &operator=(const Reference &other) const { return *this = (Value)other; }
    template <class U> const Reference &operator+=(U x) const { return *this = (Value)((Value)*this + x); }
    template <class U> const Reference &operator-=(U x) const { return *this = (Value)((Value)*this - x); }
    template <class U> const Reference &operator*=(U x) const { return *this = (Value)((Value)*this * x); }
    template <class U> const Reference &operator/=(U x) const { return *this = (Value)((Value)*this / x); }
    template <class U> const Reference &operator&=(U x) const { return *this = (Value)((Value)*this & x); }
    template <class U> const Reference &operator|=(U x) const { return *this = (Value)((Value)*this | x); }
    template <class U> const Reference &operator^=(U x) const { return *this = (Value)((Value)*this ^ x); }
};

// A pointer into the block's arena: a byte offset.
template <class T> struct Shared {
    i64 at;
    Reference<T, SharedSpace> operator[](engine::Index i) const { return {at + i.n * (i64)sizeof(T), i.line}; }
    Shared operator+(i64 n) const { return {at + n * (i64)sizeof(T)}; }
    Shared operator-(i64 n) const { return {at - n * (i64)sizeof(T)}; }
    Shared &operator+=(i64 n) { at += n * (i64)sizeof(T); return *this; }
    Shared &operator-=(i64 n) { at -= n * (i64)sizeof(T); return *this; }
    i64 operator-(Shared other) const { return (at - other.at) / (i64)sizeof(T); }
};
// A pointer into a tensor.
template <class T> struct Global {
    T *address;
    u64 number() const { return (u64)address; }
    Reference<T, GlobalSpace> operator[](engine::Index i) const { return {number() + (u64)i.n * sizeof(T), i.line}; }
    Global operator+(i64 n) const { return {(T *)(number() + (u64)n * sizeof(T))}; }
    Global operator-(i64 n) const { return {(T *)(number() - (u64)n * sizeof(T))}; }
    Global &operator+=(i64 n) { return *this = *this + n; }
    Global &operator-=(i64 n) { return *this = *this - n; }
    i64 operator-(Global other) const { return (i64)(number() - other.number()) / (i64)sizeof(T); }
    operator Global<const T>() const { return {address}; }
};
template <class T> struct Global<const T> {
    const T *address;
    u64 number() const { return (u64)address; }
    Reference<const T, GlobalSpace> operator[](engine::Index i) const { return {number() + (u64)i.n * sizeof(T), i.line}; }
    Global operator+(i64 n) const { return {(const T *)(number() + (u64)n * sizeof(T))}; }
    Global operator-(i64 n) const { return {(const T *)(number() - (u64)n * sizeof(T))}; }
    Global &operator+=(i64 n) { return *this = *this + n; }
    Global &operator-=(i64 n) { return *this = *this - n; }
    i64 operator-(Global other) const { return (i64)(number() - other.number()) / (i64)sizeof(T); }
};
template <class T> Shared<T> shared_at(i64 byte_offset) { return {byte_offset}; }
template <class T> Global<T> global(const void *address) { return {(T *)address}; }

template <class T, i32 n> struct alignas(n * sizeof(T)) Vector {
    T at[n];
    T &operator[](i64 i) { return at[i]; }
    const T &operator[](i64 i) const { return at[i]; }
};
template <i32 n, class T> Vector<typename Plain<T>::type, n> load_vector(Shared<T> p, i32 line = __builtin_LINE()) {
    Vector<typename Plain<T>::type, n> x;
    __builtin_memcpy(&x, engine::shared_read(p.at, (i32)sizeof x, line), sizeof x);
    return x;
}
template <i32 n, class T> Vector<typename Plain<T>::type, n> load_vector(Global<T> p, i32 line = __builtin_LINE()) {
    Vector<typename Plain<T>::type, n> x;
    __builtin_memcpy(&x, engine::global_read(p.number(), (i32)sizeof x, line), sizeof x);
    return x;
}
template <class T, i32 n> void store_vector(Shared<T> p, Vector<T, n> x, i32 line = __builtin_LINE()) {
    __builtin_memcpy(engine::shared_write(p.at, (i32)sizeof x, line), &x, sizeof x);
}
template <class T, i32 n> void store_vector(Global<T> p, Vector<T, n> x, i32 line = __builtin_LINE()) {
    __builtin_memcpy(engine::global_write(p.number(), (i32)sizeof x, line), &x, sizeof x);
}

// ---------------------------------------------------------------- workers
inline i32 worker() { return engine::here.worker; }
inline index_t block_index() { return engine::here.block; }
inline index_t block_count() { return engine::here.blocks; }
inline void block_sync(i32 line = __builtin_LINE()) { engine::block_barrier("block_sync", line); }
inline void wave_sync(i32 line = __builtin_LINE()) { engine::wave_barrier("wave_sync", line); }

template <class T> T shuffled(const char *what, T x, i32 source, i32 line) {
    static_assert(sizeof(T) == 1 || sizeof(T) == 2 || sizeof(T) == 4 || sizeof(T) == 8, "a shuffle moves 1, 2, 4 or 8 bytes");
    struct Lane { T x, got; i32 source; } mine{x, x, source};
    engine::wave_collective(what, line, mine, [](Lane *const *all, i32 count) {
        for (i32 i = 0; i < count; ++i)
            if (all[i]->source < count)
                all[i]->got = all[all[i]->source]->x;
    });
    return mine.got;
}
// The lane numbers are taken modulo the lanes of a wave, as the hardware does.
template <class T> T shuffle_xor(T x, i32 mask, i32 line = __builtin_LINE()) {
    return shuffled("shuffle_xor", x, (engine::here.lane ^ mask) & (lanes - 1), line);
}
template <class T> T shuffle(T x, i32 lane, i32 line = __builtin_LINE()) { return shuffled("shuffle", x, lane & (lanes - 1), line); }

// ---------------------------------------------------------------- atomics: the value before
template <class T, class F> T atomically(void *at, F next) {
    T old, now;
    __builtin_memcpy(&old, at, sizeof(T));
    now = next(old);
    __builtin_memcpy(at, &now, sizeof(T));
    return old;
}
template <class T> T wrapping_sum(T a, T b) { return (T)((typename Unsigned<T>::type)a + (typename Unsigned<T>::type)b); }
inline f32 wrapping_sum(f32 a, f32 b) { return a + b; }
inline f64 wrapping_sum(f64 a, f64 b) { return a + b; }

template <class T> T atomic_add(Global<T> p, typename Plain<T>::type x, i32 line = __builtin_LINE()) {
    return atomically<T>(engine::global_atomic(p.number(), (i32)sizeof(T), line), [x](T old) { return wrapping_sum(old, x); });
}
template <class T> T atomic_add(Shared<T> p, typename Plain<T>::type x, i32 line = __builtin_LINE()) {
    return atomically<T>(engine::shared_atomic(p.at, (i32)sizeof(T), line), [x](T old) { return wrapping_sum(old, x); });
}
template <class T> T atomic_min(Global<T> p, typename Plain<T>::type x, i32 line = __builtin_LINE()) {
    return atomically<T>(engine::global_atomic(p.number(), (i32)sizeof(T), line), [x](T old) { return minimum(old, x); });
}
template <class T> T atomic_max(Global<T> p, typename Plain<T>::type x, i32 line = __builtin_LINE()) {
    return atomically<T>(engine::global_atomic(p.number(), (i32)sizeof(T), line), [x](T old) { return maximum(old, x); });
}

// ---------------------------------------------------------------- pairs of 16-bit values in a register, the low half first
template <class T> u32 pack2(T low, T high) {
    static_assert(sizeof(T) == 2, "pairs are of 16-bit types");
    return (u32)__builtin_bit_cast(u16, low) | (u32)__builtin_bit_cast(u16, high) << 16;
}
template <class T> T unpack(u32 pair, i32 i) { return __builtin_bit_cast(T, (u16)(pair >> (i * 16))); }

// ---------------------------------------------------------------- launch
#define KERNEL(workers, blocks) static
#define PARAMETER const
#ifndef DSLC_EXPORT
#define DSLC_EXPORT __attribute__((visibility("default")))
#endif

// The status is the host's own word, no tensor.
inline i32 *status_word(void *) {
    static i32 word;
    word = 0;
    return &word;
}
inline i32 read_status(const i32 *status, void *) { return *status; }
inline void fail(i32 *status, i32 number) {
    if (*status == 0)
        *status = number;
}

template <class A> struct Launched {
    void (*kernel)(A);
    const A *arguments;
};
template <class A> i32 launch(void (*kernel)(A), index_t blocks, i32 workers, i32 shared_bytes, void *, const A &arguments) {
    Launched<A> launched{kernel, &arguments};
    return engine::run({[](const void *context) {
        auto *l = static_cast<const Launched<A> *>(context);
        l->kernel(*l->arguments);
    }, &launched, blocks, workers, shared_bytes, lanes, engine::BankModel(wavefronts)});
}

#endif
