// TPipe, TQue, TQueBind, TBuf: memory given out by buffers, and the flags that queues imply. Facts: CANN documentation, Basic API, TPipe and TQue.
//
// A buffer of a queue goes round: idle, taken (AllocTensor), queued (EnQue), dequeued (DeQue), idle (FreeTensor). EnQue sets a flag on the pipe that fills it, which
// DeQue has the pipe that reads it wait for; FreeTensor sets one the other way, which the next AllocTensor waits for. Included by kernel_operator.h, whose tensors it gives.
#ifndef DSLC_EMULATOR_QUEUES_H
#define DSLC_EMULATOR_QUEUES_H

#include <deque>

namespace AscendC {

using TEventID = int8_t;
constexpr bool vectors(TPosition p) { return p == TPosition::VECIN || p == TPosition::VECOUT || p == TPosition::VECCALC; }
constexpr bool panels(TPosition p) { return p == TPosition::A1 || p == TPosition::B1; }
// The pipes that fill a position and that read it.
constexpr pipe_t filled_by(TPosition p) { return panels(p) || p == TPosition::VECIN ? PIPE_MTE2 : vectors(p) ? PIPE_V : p == TPosition::CO1 ? PIPE_M : PIPE_MTE1; }
constexpr pipe_t read_by(TPosition p) { return panels(p) ? PIPE_MTE1 : p == TPosition::VECOUT ? PIPE_MTE3 : vectors(p) ? PIPE_V : p == TPosition::CO1 ? PIPE_FIX : PIPE_M; }

template <class T> LocalTensor<T> tensor_at(uint8_t *at, int64_t bytes, TPosition position) {
    LocalTensor<T> t;
    t.at = at, t.count = (uint32_t)(bytes / (int64_t)sizeof(T)), t.position = position;
    return t;
}

template <TPosition position = TPosition::LCM> class TBuf {
public:
    template <class T> LocalTensor<T> Get() { return Get<T>((uint32_t)(bytes / (int64_t)sizeof(T))); }
    template <class T> LocalTensor<T> Get(uint32_t elements) { return GetWithOffset<T>(elements, 0); }
    template <class T> LocalTensor<T> GetWithOffset(uint32_t elements, uint32_t first) {
        if (!at) wrong("queue", "Get of a TBuf that no InitBuffer has given memory");
        if (first + elements * (int64_t)sizeof(T) > bytes) wrong("out of bounds", "%u elements at byte %u of a TBuf of %lld bytes", elements, first, (long long)bytes);
        return tensor_at<T>(at + first, elements * (int64_t)sizeof(T), position);
    }
    uint8_t *at = nullptr;
    int64_t bytes = 0;
};

template <TPosition source, TPosition target, int32_t depth, auto mask = 0> class TQueBind {
    static constexpr pipe_t from = filled_by(source), to = read_by(target);
    int turn = 0;
    std::deque<int> waiting;

    int number_of(const char *api, const uint8_t *tensor) {
        for (int n : buffers)
            if (dslc_emulator::buffer(n).at == tensor) return n;
        wrong("queue", "%s: the tensor is of no buffer of this queue", api);
        return 0;
    }

public:
    static constexpr TPosition position = source;
    std::vector<int> buffers;

    bool HasIdleBuffer() {
        for (int n : buffers)
            if (dslc_emulator::buffer(n).state == Buffer::idle) return true;
        return false;
    }
    bool VacantInQue() { return (int32_t)waiting.size() < (depth < 1 ? 1 : depth); }
    int32_t GetTensorCountInQue() { return (int32_t)waiting.size(); }
    template <class T> LocalTensor<T> AllocTensor() {
        if (!HasIdleBuffer()) wrong("queue", "AllocTensor: none of the %d buffers is idle", (int)buffers.size());
        while (dslc_emulator::buffer(buffers[(size_t)turn]).state != Buffer::idle) turn = (turn + 1) % (int)buffers.size();
        const int n = buffers[(size_t)turn];
        turn = (turn + 1) % (int)buffers.size();
        dslc_emulator::take(n, from, to);
        return tensor_at<T>(dslc_emulator::buffer(n).at, dslc_emulator::buffer(n).bytes, source);
    }
    template <class T> bool EnQue(const LocalTensor<T> &tensor) {
        const int n = number_of("EnQue", tensor.at);
        Buffer &b = dslc_emulator::buffer(n);
        if (b.state == Buffer::idle || b.state == Buffer::queued) wrong("queue", "EnQue: the tensor %s", b.state == Buffer::idle ? "was freed" : "is in the queue already");
        if (!VacantInQue()) wrong("queue", "EnQue: %d tensors are in the queue, whose depth is %d", (int)waiting.size(), depth);
        b.state = Buffer::queued;
        waiting.push_back(n);
        if (from != to) dslc_emulator::buffer_flag(true, n, from, to);
        return true;
    }
    template <class T> LocalTensor<T> DeQue() {
        if (waiting.empty()) wrong("queue", "DeQue: the queue is empty");
        const int n = waiting.front();
        waiting.pop_front();
        Buffer &b = dslc_emulator::buffer(n);
        b.state = Buffer::dequeued;
        if (from != to) dslc_emulator::buffer_flag(false, n, from, to);
        return tensor_at<T>(b.at, b.bytes, target);
    }
    template <class T> void FreeTensor(LocalTensor<T> &tensor) {
        const int n = number_of("FreeTensor", tensor.at);
        Buffer &b = dslc_emulator::buffer(n);
        if (b.state == Buffer::idle || b.state == Buffer::queued) wrong("queue", "FreeTensor: the tensor %s", b.state == Buffer::idle ? "is free already" : "is in the queue");
        b.used = b.state == Buffer::dequeued, b.state = Buffer::idle;
        if (from != to) dslc_emulator::buffer_flag(true, n, to, from);
    }
};
template <TPosition position, int32_t depth, auto mask = 0> class TQue : public TQueBind<position, position, depth, mask> {};

class TPipe {
    int64_t used[dslc_emulator::memories] = {};
    int given = 0;
    uint8_t taken[64] = {};                                   // event numbers of a HardEvent, by bits
    bool open = true;

    uint8_t *more(TPosition position, int64_t bytes, int64_t number) {
        using namespace dslc_emulator;
        const Memory m = memory_of(position);
        if (!memory(m)) wrong("core", "InitBuffer in a memory that this kind of core does not have");
        if ((given += (int)number) > most_buffers) wrong("queue", "InitBuffer: more than %d buffers", most_buffers);
        if (used[m] + bytes * number > capacity(m))
            wrong("capacity", "InitBuffer of %lld x %lld bytes after %lld passes the end of its memory, %lld bytes", (long long)number, (long long)bytes, (long long)used[m], (long long)capacity(m));
        uint8_t *at = memory(m) + used[m];
        used[m] += bytes * number;
        return at;
    }

public:
    TPipe() {                                                 // it owns three flags of the cube core (CANN documentation, SetFlag)
        for (int n = 0; n < 3 && dslc_emulator::is_cube(); ++n) dslc_emulator::set_flag(PIPE_M, PIPE_MTE1, n), taken[(int)HardEvent::M_MTE1] |= (uint8_t)(1 << n);
    }
    ~TPipe() { Destroy(); }
    void Destroy() {
        if (!open) return;
        open = false;
        for (int n = 0; n < 3 && dslc_emulator::is_cube(); ++n) dslc_emulator::wait_flag(PIPE_M, PIPE_MTE1, n);
        Reset();
    }
    void Reset() {
        dslc_emulator::barrier(PIPE_ALL);
        dslc_emulator::drop_buffers();
        for (int64_t &bytes : used) bytes = 0;
        given = 0;
    }
    template <class Q> bool InitBuffer(Q &queue, uint8_t number, uint32_t length) {
        const int64_t bytes = (length + 31) / 32 * 32;
        uint8_t *at = more(Q::position, bytes, number);
        for (int n = 0; n < number; ++n) queue.buffers.push_back(dslc_emulator::new_buffer(at + n * bytes, bytes));
        return true;
    }
    template <TPosition position> bool InitBuffer(TBuf<position> &buffer, uint32_t length) {
        buffer.bytes = (length + 31) / 32 * 32;
        buffer.at = more(position, buffer.bytes, 1);
        return true;
    }
    TEventID FetchEventID(HardEvent event) {
        int n = 0;
        while (n < 6 && taken[(int)event] >> n & 1) ++n;
        if (n == 6) wrong("event", "AllocEventID: none of the numbers 0 to 5 is free");
        return (TEventID)n;
    }
    template <HardEvent event> TEventID AllocEventID() {
        const TEventID n = FetchEventID(event);
        taken[(int)event] |= (uint8_t)(1 << n);
        return n;
    }
    template <HardEvent event> void ReleaseEventID(TEventID n) { taken[(int)event] &= (uint8_t)~(1 << n); }
};

}  // namespace AscendC

#endif
