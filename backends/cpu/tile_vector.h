// Matrix times vector.
#ifndef DSLC_TILE_VECTOR_H
#define DSLC_TILE_VECTOR_H

#include "tile_strips.h"

// A vector of elements, converted.
template <class V, class A> DSLC_FN V dot_load_converted(const A *p) {
    f32 lanes[DotWidth<f32>::value];
    dot_convert(lanes, p, (index_t)DotWidth<f32>::value);
    return dot_load<V>(lanes);
}
template <class V> DSLC_FN V dot_load_converted(const f32 *p) { return dot_load<V>(p); }
template <class V> DSLC_FN V dot_load_converted(const f64 *p) { return dot_load<V>(p); }
#if defined(__F16C__) && defined(__AVX2__) && !defined(__AVX512F__)
template <class V> DSLC_FN V dot_load_converted(const f16 *p) { return dot_widen_halves(p); }
#endif
template <class V> DSLC_FN V dot_load_converted(const bf16 *p) {
    typedef i16 halves __attribute__((vector_size(DSLC_VECTOR_BYTES / 2)));
    typedef u32 words __attribute__((vector_size(DSLC_VECTOR_BYTES)));
#if defined(__AVX2__) && !defined(__AVX512F__) && !defined(__clang__)
    return (V)((words)__builtin_ia32_pmovzxwd256(dot_load<halves>(p)) << 16);    // g++ 12 widens by halves
#else
    return (V)(__builtin_convertvector(dot_load<halves>(p), words) << 16);     // the shift drops the sign's copies
#endif
}

// sum[j] = the sum over i of x[i] m[j * m_j + i], each in two vectors of partial sums; `rows` at a time keep as many streams of memory busy.
template <int rows, class T, class A> DSLC_FN void dot_inner(T *sum, const T *x, const A *m, index_t m_j, index_t n) {
    typedef typename DotVector<T>::type V;
    const int width = DotWidth<T>::value;
    V s[rows][2] = {};
    index_t i = 0;
    for (; i + 2 * width <= n; i += 2 * width)
        for (int l = 0; l < 2; ++l) {
            const V y = dot_load<V>(x + i + l * width);
            for (int j = 0; j < rows; ++j)
                s[j][l] = dot_multiply_add(y, dot_load_converted<V>(m + j * m_j + i + l * width), s[j][l]);
        }
    for (; i + width <= n; i += width)
        for (int j = 0; j < rows; ++j)
            s[j][0] = dot_multiply_add(dot_load<V>(x + i), dot_load_converted<V>(m + j * m_j + i), s[j][0]);
    for (int j = 0; j < rows; ++j) {
        T lanes[width];
        const V total = s[j][0] + s[j][1];
        __builtin_memcpy(lanes, &total, sizeof total);
        for (int half = width / 2; half > 0; half /= 2)
            for (int l = 0; l < half; ++l)
                lanes[l] += lanes[l + half];
        sum[j] = lanes[0];
        for (index_t l = i; l < n; ++l)
            sum[j] = dot_multiply_add(x[l], (T)dot_value(m[j * m_j + l]), sum[j]);
    }
}
template <int rows, class A> DSLC_FN void dot_inner(i32 *sum, const i32 *x, const A *m, index_t m_j, index_t n) {
    for (int j = 0; j < rows; ++j) {
        u32 s = 0;
        for (index_t i = 0; i < n; ++i)
            s += (u32)x[i] * (u32)m[j * m_j + i];
        sum[j] = (i32)s;
    }
}

// sum[j] += x[0] m[0, j] + .. + x[rows - 1] m[rows - 1, j], contiguous in j.
template <int rows, class T, class A> DSLC_FN void dot_add_rows(T *__restrict sum, const T *x, const A *__restrict m, index_t m_k, int n) {
#pragma omp simd
    for (int j = 0; j < n; ++j) {
        T s = sum[j];
        for (int k = 0; k < rows; ++k)
            s = dot_multiply_add(x[k], (T)dot_value(m[k * m_k + j]), s);
        sum[j] = s;
    }
}

// out[j] = out[j] + sum over k of x[k] m[k, j], the first `inside` of J; a step of m in k is m_k, in j is m_j.
template <int J, int K, class A, class B, class T>
DSLC_ONCE void dot_matrix_vector(const DotSum<T> &out, index_t from_step, index_t to_step, const A *x, index_t x_step,
                                 const B *m, index_t m_k, index_t m_j, T *scratch, int depth, int inside) {
    T *v = scratch, *sum = v + K, *column = sum + J;
    for (int k = 0; k < depth; ++k)
        v[k] = (T)dot_value(x[k * x_step]);
    if (m_j == 1 && J > 1) {
        for (int j = 0; j < inside; ++j)
            sum[j] = 0;
        int k = 0;
        for (; k + 8 <= depth; k += 8)                       // eight rows to one pass over the sums
            dot_add_rows<8>(sum, v + k, m + k * m_k, m_k, inside);
        for (; k < depth; ++k)
            dot_add_rows<1>(sum, v + k, m + k * m_k, m_k, inside);
    } else if (m_k == 1) {
        int j = 0;
        for (; j + 4 <= inside; j += 4)
            dot_inner<4>(sum + j, v, m + j * m_j, m_j, (index_t)depth);
        for (; j < inside; ++j)
            dot_inner<1>(sum + j, v, m + j * m_j, m_j, (index_t)depth);
    } else {
        for (int j = 0; j < inside; ++j) {
            for (int k = 0; k < depth; ++k)
                column[k] = (T)dot_value(m[j * m_j + k * m_k]);
            dot_inner<1>(sum + j, v, column, 0, (index_t)depth);
        }
    }
    for (int j = 0; j < inside; ++j)
        out.to[j * to_step] = (out.from ? out.from[j * from_step] : 0) + sum[j];
}

#endif
