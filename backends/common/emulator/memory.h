// Memory of the engine: arrays and tables on malloc and mmap, because the engine is linked without a C++ library.
#ifndef DSLC_ENGINE_MEMORY_H
#define DSLC_ENGINE_MEMORY_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "engine.h"

namespace engine {

// Zeroed pages that cost nothing until they are touched.
inline void *reserve(size_t bytes) {
    void *p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        fprintf(stderr, "dslc emulator: no address space for %zu bytes\n", bytes);
        abort();
    }
    return p;
}

template <class T> struct Array {
    T *data = nullptr;
    i64 count = 0, capacity = 0;
    void room(i64 n) {
        if (n <= capacity)
            return;
        capacity = n < 2 * capacity ? 2 * capacity : n < 16 ? 16 : n;
        data = static_cast<T *>(realloc(static_cast<void *>(data), (size_t)capacity * sizeof(T)));
        if (!data)
            abort();
    }
    T &push(const T &x) {
        T copy = x;                              // x may lie in the array
        room(count + 1);
        data[count] = copy;
        return data[count++];
    }
    T &operator[](i64 i) { return data[i]; }
    T &last() { return data[count - 1]; }
    T *begin() { return data; }
    T *end() { return data + count; }
};

// Numbers by number; open addressing, no removal but of all.
struct Table {
    struct Row { u64 key; i64 value; bool used; };
    Array<Row> rows;
    i64 used = 0;
    static u64 hash(u64 x) { return (x ^ x >> 29) * 0x9e3779b97f4a7c15u; }
    i64 *find(u64 key) {
        for (u64 i = hash(key); rows.count; ++i) {
            Row &row = rows[(i64)(i & (u64)(rows.count - 1))];
            if (!row.used)
                return nullptr;
            if (row.key == key)
                return &row.value;
        }
        return nullptr;
    }
    void put(u64 key, i64 value) {
        if (2 * (used + 1) > rows.count)
            grow();
        u64 i = hash(key);
        while (rows[(i64)(i & (u64)(rows.count - 1))].used)
            ++i;
        rows[(i64)(i & (u64)(rows.count - 1))] = Row{key, value, true};
        ++used;
    }
    void grow() {
        Array<Row> old = rows;
        rows = Array<Row>();
        i64 n = old.count ? 2 * old.count : 64;
        rows.room(n);
        rows.count = n;
        memset(static_cast<void *>(rows.data), 0, (size_t)n * sizeof(Row));
        used = 0;
        for (Row &row : old)
            if (row.used)
                put(row.key, row.value);
        free(old.data);
    }
    void clear() {
        if (used)
            memset(static_cast<void *>(rows.data), 0, (size_t)rows.count * sizeof(Row));
        used = 0;
    }
};

// splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
struct Random {
    u64 state = 0;
    u64 next() {
        u64 z = state += 0x9e3779b97f4a7c15u;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        return z ^ z >> 31;
    }
    i64 below(i64 n) { return (i64)(next() % (u64)n); }
};

}  // namespace engine

#endif
