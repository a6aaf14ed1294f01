// Bank statistics: which lanes' accesses were one instruction, and how many wavefronts the target's model gives it.
//
// Single accesses of lanes are grouped by (line, how often the lane has been there since the lanes of the wave last met); exact where the
// lanes go the same way, as they do in what is generated but for guarded edges.
#ifndef DSLC_ENGINE_BANKS_H
#define DSLC_ENGINE_BANKS_H

#include "memory.h"

namespace engine {

struct LineTotal { i64 ideal, actual, instructions; };

struct Visits {                                  // of one line by one wave
    i32 line, visits;
    u16 count[64];                               // per lane
    Array<i32> offsets, bytes;                   // visits x lanes; visits
};

struct Banks {
    static constexpr i32 most_lines = 1 << 16;
    Array<Visits> waves[32];
    i32 used[32] = {};
    u16 *index[32] = {};                         // line -> its number in waves[w], plus 1
    LineTotal *totals = nullptr;
    i32 highest = 0;
    BankModel model = nullptr;

    void clear() {
        if (totals)
            memset(totals, 0, (size_t)(highest + 1) * sizeof *totals);
        highest = 0;
    }
    void begin(BankModel m) {
        model = m;
        if (m && !totals)
            totals = static_cast<LineTotal *>(reserve(most_lines * sizeof(LineTotal)));
    }
    void count(const i32 *offsets, i32 lanes, i32 bytes, i32 line) {
        if (!model || line < 0 || line >= most_lines)
            return;
        Wavefronts w = model(offsets, lanes, bytes);
        totals[line].ideal += w.ideal;
        totals[line].actual += w.actual;
        totals[line].instructions += 1;
        highest = line > highest ? line : highest;
    }
    void visit(i32 wave, i32 lane, i32 lanes, i64 offset, i32 bytes, i32 line) {
        if (!model || line < 0 || line >= most_lines)
            return;
        if (!index[wave])
            index[wave] = static_cast<u16 *>(reserve(most_lines * sizeof(u16)));
        u16 &at = index[wave][line];
        if (!at) {
            if (used[wave] == waves[wave].count)
                waves[wave].push(Visits{});
            Visits &fresh = waves[wave][used[wave]++];
            fresh.line = line, fresh.visits = 0;
            memset(fresh.count, 0, sizeof fresh.count);
            at = (u16)used[wave];
        }
        Visits &v = waves[wave][at - 1];
        i32 n = v.count[lane];
        if (n == 65535)
            return;
        v.count[lane] = (u16)(n + 1);
        if (n >= v.visits) {
            i64 end = (i64)(n + 1) * lanes;
            v.offsets.room(end);
            v.bytes.room(n + 1);
            for (i64 i = (i64)v.visits * lanes; i < end; ++i)
                v.offsets[i] = -1;
            v.visits = n + 1;
        }
        v.offsets[(i64)n * lanes + lane] = (i32)offset;
        v.bytes[n] = bytes;
    }
    void flush(i32 wave, i32 lanes) {
        for (i32 i = 0; i < used[wave]; ++i) {
            Visits &v = waves[wave][i];
            for (i32 n = 0; n < v.visits; ++n)
                count(&v.offsets[(i64)n * lanes], lanes, v.bytes[n], v.line);
            index[wave][v.line] = 0;
        }
        used[wave] = 0;
    }
    void write(Text &out) const {
        out.add("\"banks\":{");
        bool first = true;
        for (i32 line = 0; totals && line <= highest; ++line)
            if (totals[line].instructions) {
                out.add("%s\"%d\":[%lld,%lld,%lld]", first ? "" : ",", line, (long long)totals[line].ideal, (long long)totals[line].actual,
                        (long long)totals[line].instructions);
                first = false;
            }
        out.add("}");
    }
};

}  // namespace engine

#endif
