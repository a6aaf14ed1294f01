// What a run has to say: findings and bank statistics, as JSON for the host.
#ifndef DSLC_ENGINE_REPORT_H
#define DSLC_ENGINE_REPORT_H

#include "memory.h"

namespace engine {

constexpr i32 most_findings = 8, most_lines = 8;

struct Finding {
    char kind[32], text[1600];
    i32 lines[most_lines], line_count;
    i64 block;
};

struct Text {                                    // a string that grows
    Array<char> chars;
    void add(const char *format, ...) __attribute__((format(printf, 2, 3))) {
        va_list list;
        va_start(list, format);
        add_list(format, list);
        va_end(list);
    }
    void add_list(const char *format, va_list list) {
        va_list again;
        va_copy(again, list);
        int n = vsnprintf(nullptr, 0, format, again);
        va_end(again);
        chars.room(chars.count + n + 1);
        vsnprintf(chars.data + chars.count, (size_t)n + 1, format, list);
        chars.count += n;
    }
    void quoted(const char *text) {
        add("\"");
        for (; *text; ++text)
            if (*text == '"' || *text == '\\')
                add("\\%c", *text);
            else
                add((unsigned char)*text < 32 ? "\\u%04x" : "%c", (unsigned char)*text);
        add("\"");
    }
};

struct Report {
    Finding findings[most_findings];
    i32 count = 0;

    // Whether it is new: another of the same kind at the same lines says nothing more.
    bool add(const char *kind, const i32 *lines, i32 line_count, i64 block, const char *text) {
        if (count == most_findings)
            return false;
        line_count = line_count < most_lines ? line_count : most_lines;
        for (i32 i = 0; i < count; ++i) {
            Finding &f = findings[i];
            if (!strcmp(f.kind, kind) && f.line_count == line_count && !memcmp(f.lines, lines, (size_t)line_count * sizeof(i32)))
                return false;
        }
        Finding &f = findings[count++];
        snprintf(f.kind, sizeof f.kind, "%s", kind);
        snprintf(f.text, sizeof f.text, "%s", text);
        memcpy(f.lines, lines, (size_t)line_count * sizeof(i32));
        f.line_count = line_count;
        f.block = block;
        return true;
    }
    void write(Text &out) const {
        out.add("\"findings\":[");
        for (i32 i = 0; i < count; ++i) {
            const Finding &f = findings[i];
            out.add("%s{\"kind\":", i ? "," : "");
            out.quoted(f.kind);
            out.add(",\"text\":");
            out.quoted(f.text);
            out.add(",\"block\":%lld,\"lines\":[", (long long)f.block);
            for (i32 n = 0; n < f.line_count; ++n)
                out.add("%s%d", n ? "," : "", f.lines[n]);
            out.add("]}");
        }
        out.add("]");
    }
};

}  // namespace engine

#endif
