// Vector cores: buffers of queues (TPipe, TQue, TQueBind, TBuf), which order pipes by flags of their own.
#define TYPE KERNEL_TYPE_AIV_ONLY
#include "case.h"

using In = TQue<TPosition::VECIN, 1>;
using Out = TQue<TPosition::VECOUT, 1>;
static LocalTensor<float> loaded(In &in, GM_ADDR a, int first) {
    LocalTensor<float> x = in.AllocTensor<float>();
    DataCopy(x, global<float>(a)[first], 64);
    in.EnQue(x);
    return in.DeQue<float>();
}

KERNEL(right_queues) {  // two buffers each: a load runs beside the work on the one before
    TPipe pipe;
    In in;
    Out out;
    pipe.InitBuffer(in, 2, 256);
    pipe.InitBuffer(out, 2, 256);
    for (int i = 0; i < 6; ++i) {
        LocalTensor<float> x = loaded(in, a, i * 64), y = out.AllocTensor<float>();
        Adds(y, x, 1.0f, 64);
        out.EnQue(y);
        in.FreeTensor(x);
        y = out.DeQue<float>();
        DataCopy(global<float>(c)[i * 64], y, 64);
        out.FreeTensor(y);
    }
}
KERNEL(right_bound) {  // in and out again, past the vector unit
    TPipe pipe;
    TQueBind<TPosition::VECIN, TPosition::VECOUT, 1> through;
    pipe.InitBuffer(through, 2, 256);
    for (int i = 0; i < 4; ++i) {
        LocalTensor<float> x = through.AllocTensor<float>();
        DataCopy(x, global<float>(a)[i * 64], 64);
        through.EnQue(x);
        x = through.DeQue<float>();
        DataCopy(global<float>(c)[i * 64], x, 64);
        through.FreeTensor(x);
    }
}
KERNEL(right_buffer) {
    TPipe pipe;
    TBuf<TPosition::VECCALC> all;
    pipe.InitBuffer(all, 1024);
    LocalTensor<float> x = all.Get<float>()[128];
    const TEventID id = pipe.AllocEventID<HardEvent::V_MTE3>();
    Duplicate(x, 2.0f, 64);
    SetFlag<HardEvent::V_MTE3>(id);
    WaitFlag<HardEvent::V_MTE3>(id);
    DataCopy(global<float>(c), x, 64);
    pipe.ReleaseEventID<HardEvent::V_MTE3>(id);
}

KERNEL(more_than_there_are) {
    TPipe pipe;
    In in;
    pipe.InitBuffer(in, 2, 256);
    in.AllocTensor<float>();
    in.AllocTensor<float>();
    in.AllocTensor<float>();  // expect queue
}
KERNEL(nothing_queued) {
    TPipe pipe;
    In in;
    pipe.InitBuffer(in, 2, 256);
    in.DeQue<float>();  // expect queue
}
KERNEL(freed_twice) {
    TPipe pipe;
    In in;
    pipe.InitBuffer(in, 2, 256);
    LocalTensor<float> x = loaded(in, a, 0);
    in.FreeTensor(x);
    in.FreeTensor(x);  // expect queue
}
KERNEL(never_freed) {
    TPipe pipe;
    In in;
    pipe.InitBuffer(in, 2, 256);
    LocalTensor<float> x = in.AllocTensor<float>();  // expect queue
    DataCopy(x, global<float>(a), 64);
    in.EnQue(x);
    in.DeQue<float>();
}
KERNEL(used_after_it_was_freed) {
    TPipe pipe;
    In in;
    TBuf<> room;
    pipe.InitBuffer(in, 2, 256);
    pipe.InitBuffer(room, 256);
    LocalTensor<float> x = loaded(in, a, 0);
    in.FreeTensor(x);
    Adds(room.Get<float>(), x, 1.0f, 64);  // expect queue
}
KERNEL(read_by_the_scalar_unit_after_it_was_freed) {
    TPipe pipe;
    In in;
    pipe.InitBuffer(in, 1, 256);
    LocalTensor<float> x = loaded(in, a, 0);
    PASS(V_S, 0);
    in.FreeTensor(x);
    x.GetValue(0);  // expect queue
}
KERNEL(tensor_of_another_queue) {
    TPipe pipe;
    In in;
    Out out;
    pipe.InitBuffer(in, 1, 256);
    pipe.InitBuffer(out, 1, 256);
    LocalTensor<float> x = loaded(in, a, 0);
    out.EnQue(x);  // expect queue
}
KERNEL(queued_twice) {
    TPipe pipe;
    In in;
    pipe.InitBuffer(in, 2, 256);
    LocalTensor<float> x = in.AllocTensor<float>();
    DataCopy(x, global<float>(a), 64);
    in.EnQue(x);
    in.EnQue(x);  // expect queue
}
KERNEL(more_than_its_depth) {
    TPipe pipe;
    In in;
    pipe.InitBuffer(in, 2, 256);
    for (int i = 0; i < 2; ++i) {
        LocalTensor<float> x = in.AllocTensor<float>();
        DataCopy(x, global<float>(a), 64);
        in.EnQue(x);  // expect queue
    }
}
KERNEL(freed_while_queued) {
    TPipe pipe;
    In in;
    pipe.InitBuffer(in, 2, 256);
    LocalTensor<float> x = in.AllocTensor<float>();
    DataCopy(x, global<float>(a), 64);
    in.EnQue(x);
    in.FreeTensor(x);  // expect queue
}
KERNEL(buffers_65) {
    TPipe pipe;
    In in;
    TBuf<> room;
    pipe.InitBuffer(in, 64, 64);
    pipe.InitBuffer(room, 64);  // expect queue
}
KERNEL(buffer_without_memory) {
    TBuf<> room;
    room.Get<float>();  // expect queue
}
KERNEL(buffers_past_the_end_of_ub) {
    TPipe pipe;
    In in;
    pipe.InitBuffer(in, 2, 100000);  // expect capacity
}
KERNEL(past_the_end_of_a_buffer) {
    TPipe pipe;
    TBuf<> room;
    pipe.InitBuffer(room, 256);
    Duplicate(room.Get<float>(), 1.0f, 72);  // expect out of bounds
}
KERNEL(buffer_of_the_cube) {
    TPipe pipe;
    TQue<TPosition::A1, 1> panel;
    pipe.InitBuffer(panel, 1, 512);  // expect core
}
KERNEL(used_before_it_is_dequeued) {  // the flag of the queue is not awaited
    TPipe pipe;
    In in;
    TBuf<> room;
    pipe.InitBuffer(in, 1, 256);
    pipe.InitBuffer(room, 256);
    LocalTensor<float> x = in.AllocTensor<float>();
    DataCopy(x, global<float>(a), 64);  // expect race
    in.EnQue(x);
    Adds(room.Get<float>(), x, 1.0f, 64);  // expect race
    x = in.DeQue<float>();
    in.FreeTensor(x);
}
KERNEL(written_after_it_is_queued) {
    TPipe pipe;
    Out out;
    pipe.InitBuffer(out, 1, 256);
    LocalTensor<float> x = out.AllocTensor<float>();
    Duplicate(x, 1.0f, 64);
    out.EnQue(x);
    PipeBarrier<PIPE_V>();
    Duplicate(x, 2.0f, 64);  // expect race
    x = out.DeQue<float>();
    DataCopy(global<float>(c), x, 64);  // expect race
    out.FreeTensor(x);
}
