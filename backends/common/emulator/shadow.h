// What is remembered of every two bytes of shared memory and of writable tensors: who wrote last, who has read since.
//
// The method is FastTrack (Flanagan and Freund, PLDI 2009): one stamp (component, clock) for the last write; the readers since then, as
// few as say the same. Lanes of a wave that read at the same clock share one entry with a mask. Clock values grow through the whole process, so
// memory is never reset: stamps not younger than the block's (or launch's) first tick are of an earlier one.
#ifndef DSLC_ENGINE_SHADOW_H
#define DSLC_ENGINE_SHADOW_H

#include "clock.h"

namespace engine {

constexpr u32 atomic_mark = 0x8000;              // in a reader's component: it was an atomic access

struct Stamp { u32 clock; u16 component, line; };
struct Readers { Stamp by; u32 mask, next; };    // workers by.component + i for the bits i of mask; a stream has mask 1
struct Cell {
    Stamp write;
    Readers readers;
    u32 split, split_tick;                       // of its two bytes, once one was accessed alone: cells split, split + 1
    Stamp elsewhere;                             // global memory: the first reader (or atomic) of the launch
    u32 atomics;                                 // whether some of the readers are atomic accesses
};

enum class Kind { read, write, atomic };
enum class Problem { none, race, uninitialised, proxy };

// Whoever accesses: a worker, or an agent with those who issued it.
struct Actor {
    u32 component, clock;
    const Knowledge *issuers[4];
    i32 issuer_count;
    bool agent, async;
    i32 line, worker;
};

struct Found {                                   // what is wrong with an access, and the stamp it disagrees with
    Problem problem = Problem::none;
    Stamp other{};
    bool other_wrote = false, other_block = false;
    i64 byte = 0;                                // from the start of the region
};

struct Region {
    Cell *cells;
    bool shared, initialised;
};

struct Shadow {
    Cell *splits = nullptr;
    u32 split_count = 1;
    Array<Readers> pool;
    u32 free_readers = 0;
    u32 session_base = 0, launch_base = 0, block_base = 0;
    bool async_stream[max_components] = {};
    static constexpr u32 most_splits = 1u << 27;

    bool ordered(const Actor &a, Stamp s) const {
        if (a.agent && s.component == a.component && s.clock == a.clock)
            return true;
        for (i32 i = 0; i < a.issuer_count; ++i)
            if (!a.issuers[i]->seen.knows(s.component, s.clock))
                return false;
        return true;
    }
    bool fenced(const Actor &a, Stamp s) const {
        for (i32 i = 0; i < a.issuer_count; ++i)
            if (!a.issuers[i]->fenced.knows(s.component, s.clock))
                return false;
        return true;
    }
    bool ordered(const Actor &a, const Readers &r, Stamp *which) const {
        Stamp s = r.by;
        s.component &= (u16)~atomic_mark;
        if (s.component < max_workers && !a.agent && s.clock <= a.issuers[0]->seen.floor)
            return true;
        u32 first = s.component;
        for (u32 rest = r.mask; rest; rest &= rest - 1) {
            s.component = (u16)(first + (u32)__builtin_ctz(rest));
            if (!ordered(a, s)) {
                *which = s;
                return false;
            }
        }
        return true;
    }

    u32 new_readers(const Readers &r) {
        u32 i = free_readers;
        if (i) {
            free_readers = pool[i].next;
            pool[i] = r;
            return i;
        }
        if (!pool.count)
            pool.push(r);                        // 0 means none
        pool.push(r);
        return (u32)(pool.count - 1);
    }
    void free_chain(u32 first) {
        while (first) {
            u32 next = pool[first].next;
            pool[first].next = free_readers;
            free_readers = first;
            first = next;
        }
    }
    void forget_readers() { pool.count = 0, free_readers = 0; }

    static void set(Found &f, Problem problem, Stamp other, bool wrote, bool block = false) {
        if (f.problem == Problem::none) {
            f.problem = problem, f.other = other, f.other_wrote = wrote, f.other_block = block;
            f.other.component &= (u16)~atomic_mark;
        }
    }
    bool other_block(Stamp s) const { return s.clock > launch_base && s.clock <= block_base; }

    // The access against the last write.
    template <Kind kind> void after_write(Cell &c, const Actor &a, const Region &region, Found &f) {
        Stamp w = c.write;
        if (w.clock > block_base) {
            bool mine = w.component == a.component && !a.agent;
            if (!mine && !(w.component < max_workers && w.clock <= a.issuers[0]->seen.floor && !a.agent) && !ordered(a, w))
                set(f, Problem::race, w, true);
            else if (a.async && !async_stream[w.component] && region.shared && !fenced(a, w))
                set(f, Problem::proxy, w, true);
        } else if (region.shared) {
            if (kind != Kind::write)
                set(f, Problem::uninitialised, Stamp{}, false);
        } else if (other_block(w)) {
            set(f, Problem::race, w, true, true);
        } else if (kind != Kind::write && !region.initialised && w.clock <= session_base) {
            set(f, Problem::uninitialised, Stamp{}, false);
        }
    }
    // The access against readers, or (a reader) against atomics; then it becomes one of them.
    template <Kind kind> void become_reader(Cell &c, const Actor &a, const Region &region, Found &f) {
        constexpr u32 mark = kind == Kind::atomic ? atomic_mark : 0;
        u32 group = a.agent ? a.component : a.component & ~31u, mask = a.agent ? 1 : 1u << (a.component & 31);
        Readers mine{{a.clock, (u16)(group | mark), (u16)a.line}, mask, 0};
        if (!region.shared) {
            Stamp e = c.elsewhere;
            if (other_block(e) && (e.component & atomic_mark) != mark)
                set(f, Problem::race, e, (e.component & atomic_mark) != 0, true);
            if (e.clock <= launch_base || (mark && e.clock > block_base))
                c.elsewhere = Stamp{a.clock, (u16)(a.component | mark), (u16)a.line};
        }
        Readers *r = &c.readers;
        if (r->by.clock <= block_base) {
            *r = mine;
            c.atomics = mark;
            return;
        }
        c.atomics |= mark;
        if (!c.atomics && joined_readers(c, mine))
            return;
        walk_readers(r, mine, a, f);
    }
    // Lanes of one wave that read at one clock are found at the front: they come one after another.
    bool joined_readers(Cell &c, const Readers &mine) {
        if (c.readers.by.clock == mine.by.clock && c.readers.by.component == mine.by.component) {
            c.readers.mask |= mine.mask;
            return true;
        }
        for (u32 i = c.readers.next; i; i = pool[i].next) {
            Readers &r = pool[i];
            if (r.by.clock == mine.by.clock && r.by.component == mine.by.component) {
                Readers front = c.readers;
                c.readers = Readers{r.by, r.mask | mine.mask, front.next};
                r = Readers{front.by, front.mask, r.next};
                return true;
            }
        }
        return false;
    }
    void walk_readers(Readers *head, const Readers &mine, const Actor &a, Found &f) {
        bool placed = false;
        u32 mark = mine.by.component & atomic_mark;
        Stamp which;
        for (Readers *r = head;;) {
            bool same_kind = (r->by.component & atomic_mark) == mark;
            if (!same_kind && !ordered(a, *r, &which))
                set(f, Problem::race, which, true);
            if (same_kind && !placed) {
                if (r->by.clock == mine.by.clock && r->by.component == mine.by.component) {
                    r->mask |= mine.mask;
                    placed = true;
                } else if (!a.agent && ordered(a, *r, &which)) {
                    u32 next = r->next;
                    *r = mine;
                    r->next = next;
                    placed = true;
                }
            }
            if (!r->next)
                break;
            r = &pool[r->next];
        }
        if (!placed) {
            Readers old = *head;
            u32 moved = new_readers(old);        // may move the pool, never the head: that is in a cell
            *head = mine;
            head->next = moved;
        }
    }
    void become_writer(Cell &c, const Actor &a, const Region &region, Found &f) {
        if (c.readers.by.clock > block_base) {
            Stamp which;
            for (Readers *r = &c.readers;; r = &pool[r->next]) {
                if (!ordered(a, *r, &which))
                    set(f, Problem::race, which, (r->by.component & atomic_mark) != 0);
                if (!r->next)
                    break;
            }
            free_chain(c.readers.next);
            c.readers.by.clock = 0;
            c.readers.next = 0;
        }
        if (!region.shared && other_block(c.elsewhere))
            set(f, Problem::race, c.elsewhere, (c.elsewhere.component & atomic_mark) != 0, true);
        c.write = Stamp{a.clock, (u16)a.component, (u16)a.line};
    }
    template <Kind kind> void touch(Cell &c, const Actor &a, const Region &region, Found &f) {
        after_write<kind>(c, a, region, f);
        if (kind == Kind::write)
            become_writer(c, a, region, f);
        else
            become_reader<kind>(c, a, region, f);
    }
    void split(Cell &c) {
        if (c.split_tick > session_base)
            return;
        if (split_count + 2 >= most_splits)
            split_count = 1;                     // 2^26 pairs: older ones are then forgotten, which may miss a race
        c.split = split_count;
        c.split_tick = tick;
        split_count += 2;
        for (u32 i = 0; i < 2; ++i) {
            Cell &b = splits[c.split + i];
            b = c;
            if (c.readers.by.clock > block_base && c.readers.next)
                b.readers.next = copied(c.readers.next);
        }
    }
    u32 copied(u32 chain) {
        u32 head = 0;
        for (; chain; chain = pool[chain].next) {
            Readers r = pool[chain];
            r.next = head;
            head = new_readers(r);
        }
        return head;
    }
    // All bytes of an access, given from the region's start; the first problem is kept.
    template <Kind kind> void access(const Region &region, i64 first, i64 bytes, const Actor &a, Found &f) {
        for (i64 byte = first, end = first + bytes; byte < end;) {
            Cell &c = region.cells[byte >> 1];
            bool whole = !(byte & 1) && byte + 2 <= end, was_clean = f.problem == Problem::none;
            i64 at = byte;
            if (whole && c.split_tick <= session_base) {
                touch<kind>(c, a, region, f);
                byte += 2;
            } else {
                split(c);
                u32 pair = c.split;
                do
                    touch<kind>(splits[pair + (u32)(byte & 1)], a, region, f);
                while (++byte < end && (byte & 1));
            }
            if (was_clean && f.problem != Problem::none)
                f.byte = at;
        }
    }
};

}  // namespace engine

#endif
