// Where the fractals of a matrix lie: what wrote them leaves a tag, what reads them compares. Facts: CANN documentation, Basic API, data formats, LoadData,
// LoadDataWithTranspose, Mmad, Fixpipe. Bytes that came from elsewhere (a plain copy, which may bring any format; a constant) have no tag and fit everywhere.
//
// A tag says which place of a matrix is there: in L1 for each block of 32 bytes its row and its column of blocks, in L0 for each fractal where its rows and
// columns begin, in L0C for each square of 16 x 16 its row and column of squares. Two tags are compared if they are of one matrix.
#ifndef DSLC_EMULATOR_FRACTALS_H
#define DSLC_EMULATOR_FRACTALS_H

#include <stdint.h>
#include <stdio.h>

#include <string>
#include <vector>

#include "cores.h"

namespace dslc_emulator {

template <class... A> std::string text(const char *format, A... values) {
    char out[400];
    snprintf(out, sizeof out, format, values...);
    return out;
}

// The fractal that 16 blocks of L1 are; what is wrong with it, or "".
inline std::string fractal_at(const uint8_t *from, Tag &found) {
    found = {};
    for (int i = 0; i < 16; ++i) {
        Tag t = *tag_of(from + 32 * i);
        if (!t.matrix) continue;
        t.y -= i;
        if (!found.matrix) found = t;
        else if (found.matrix == t.matrix && (t.y != found.y || t.x != found.x))
            return text("expected NZ, 16 rows of one column of blocks, found row %d of column %d after row %d of column %d (columns of %d blocks)", t.y + i, t.x,
                        found.y + i - 1, found.x, t.pitch);
    }
    return "";
}
inline std::string of_size(const Tag &t, int bytes) {
    return t.matrix && t.bytes != bytes ? text("expected C0 = %d, found C0 = %d", 32 / bytes, 32 / t.bytes) : "";
}

// LoadData: a fractal as it is, or turned, which is for 16 bits.
inline std::string load_fractal(uint8_t *to, const uint8_t *from, bool turned, int bytes) {
    Tag t;
    std::string wrong = fractal_at(from, t);
    if (wrong.empty() && turned) wrong = of_size(t, bytes);
    const int across = t.x * (32 / (t.bytes ? t.bytes : 1));
    *tag_of(to) = turned ? Tag{t.matrix, across, t.y, t.pitch, t.bytes, true} : Tag{t.matrix, t.y, across, t.pitch, t.bytes, false};
    return wrong;
}
// LoadDataWithTranspose: a square of one fractal or two, which becomes as many; `to` is where each goes.
inline std::string load_square(uint8_t *const *to, const uint8_t *from, int bytes) {
    Tag first, second;
    const int parts = bytes == 2 ? 1 : 2, down = bytes == 1 ? 16 : 0, right = bytes == 4 ? 1 : 0;
    std::string wrong = fractal_at(from, first);
    if (parts == 2 && wrong.empty()) wrong = fractal_at(from + 512, second);
    if (first.matrix && first.matrix == second.matrix && (second.y != first.y + down || second.x != first.x + right))
        wrong = text("expected %s, found the fractal of row %d and column %d after that of row %d and column %d", down ? "NZ, two fractals one below the other" :
                     "zZ, two fractals beside each other", second.y, second.x, first.y, first.x);
    if (wrong.empty()) wrong = of_size(first, bytes);
    if (!first.matrix && second.matrix) first = second, first.y -= down, first.x -= right;
    for (int k = 0; k < parts; ++k) *tag_of(to[k]) = Tag{first.matrix, first.x * (32 / bytes) + (bytes == 1 ? 16 * k : 0), first.y + (bytes == 4 ? 8 * k : 0), first.pitch, first.bytes, true};
    return wrong;
}

// An operand of Mmad: all fractals of one of its `rows` have the same rows of the matrix, all of one of its `columns`, along K, the same columns.
inline bool fits(const uint8_t *at, int rows, int columns, int row_step, int column_step) {
    std::vector<Tag> of_row((size_t)rows), of_column((size_t)columns);
    for (int i = 0; i < rows; ++i)
        for (int k = 0; k < columns; ++k) {
            const Tag t = *tag_of(at + (int64_t)(i * row_step + k * column_step) * 512);
            if (!t.matrix) continue;
            Tag &r = of_row[(size_t)i], &c = of_column[(size_t)k];
            if (!r.matrix) r = t;
            if (!c.matrix) c = t;
            if (r.matrix == t.matrix && (r.y != t.y || r.turned != t.turned)) return false;
            if (c.matrix == t.matrix && (c.x != t.x || c.turned != t.turned)) return false;
        }
    return true;
}
inline std::string operand(const uint8_t *at, int rows, int columns, bool left, int bytes) {
    for (int n = 0; n < rows * columns; ++n)
        if (std::string wrong = of_size(*tag_of(at + n * 512), bytes); !wrong.empty()) return (left ? "L0A: " : "L0B: ") + wrong;
    if (left ? fits(at, rows, columns, columns, 1) : fits(at, rows, columns, 1, rows)) return "";
    const bool other = left ? fits(at, rows, columns, 1, rows) : fits(at, rows, columns, columns, 1);
    return text("%s of %d x %d fractals, found %s", left ? "L0A: expected zZ" : "L0B: expected nZ", rows, columns, other ? left ? "NZ" : "nN" : "fractals of other rows and columns");
}
// With m = 1 the left operand is a row of elements that follow each other, not fractals; up to 32 bytes are both.
inline std::string row_operand(const uint8_t *at, int64_t bytes) {
    for (int64_t n = 0; n < bytes && bytes > 32; n += 512)
        if (tag_of(at + n)->matrix) return "L0A: expected ND, since m is 1, found zZ";
    return "";
}

// A sum in L0C: columns of squares. One that is added to must be as it was begun.
inline std::string added(uint8_t *at, int rows, int columns, bool begins, bool integers) {
    const Tag first = *tag_of(at);
    const int matrix = begins ? new_matrix() : first.matrix;
    for (int j = 0; j < columns; ++j)
        for (int i = 0; i < rows; ++i) {
            Tag &t = *tag_of(at + (int64_t)(j * rows + i) * 1024);
            if (begins) t = Tag{matrix, i, j, rows, 4, integers};
            else if (t.matrix && t.matrix == matrix && (t.y - first.y != i || t.x - first.x != j))
                return text("L0C: expected NZ, columns of %d squares, found columns of %d", rows, t.pitch);
        }
    return "";
}
// Fixpipe: `rows` rows, the columns of 16 `stride` rows apart.
inline std::string drain(const uint8_t *at, int rows, int columns, int64_t stride, int64_t into, bool integers) {
    const Tag first = *tag_of(at);
    for (int j = 0; j < (columns + 15) / 16 && first.matrix; ++j)
        for (int i = 0; i < rows; ++i) {
            const Tag t = *tag_of(at + (j * stride + i) * 64);
            if (t.matrix && t.turned != integers) return text("L0C: expected %s, found %s", integers ? "int32" : "float", integers ? "float" : "int32");
            const int64_t row = t.y * 16 + (into + j * stride + i) % 16, wanted = first.y * 16 + into % 16 + i;
            if (t.matrix == first.matrix && (row != wanted || t.x != first.x + j))
                return text("L0C: expected NZ, columns of %d rows (srcStride), found columns of %d", (int)stride, first.pitch * 16);
        }
    return "";
}

}  // namespace dslc_emulator

#endif
