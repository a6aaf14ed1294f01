// The cube core.
#define TYPE KERNEL_TYPE_AIC_ONLY
#include "case.h"

static MmadParams product(int m, int n, int k, bool first = true) {
    MmadParams p;
    p.m = m, p.n = n, p.k = k, p.cmatrixInitVal = first;
    return p;
}
static Nd2NzParams rows(int n, int d, int stride) {
    Nd2NzParams p;
    p.ndNum = 1, p.nValue = n, p.dValue = d, p.srcDValue = stride, p.dstNzC0Stride = 16;
    return p;
}
static LoadData2DParams fractals(int n, bool turned = false) {
    LoadData2DParams p;
    p.repeatTimes = n, p.srcStride = 1, p.ifTranspose = turned;
    return p;
}
static FixpipeParamsV220 out(int m, int n, int stride, QuantMode_t quant = NoQuant) {
    FixpipeParamsV220 p;
    p.mSize = m, p.nSize = n, p.srcStride = 16, p.dstStride = stride, p.quantPre = quant;
    return p;
}
// Operands in L0, awaited by M: 16 x 16 each.
static void operands(GM_ADDR a) {
    DataCopy(l1<half>(0, 256), global<half>(a), rows(16, 16, 16));
    DataCopy(l1<half>(512, 256), global<half>(a)[256], rows(16, 16, 16));
    PASS(MTE2_MTE1, 0);
    LoadData(l0a<half>(0, 256), l1<half>(0, 256), fractals(1));
    LoadData(l0b<half>(0, 256), l1<half>(512, 256), fractals(1, true));
    PASS(MTE1_M, 0);
}

KERNEL(right_product) {
    operands(a);
    Mmad(l0c<float>(0, 256), l0a<half>(0, 256), l0b<half>(0, 256), product(16, 16, 16));
    PipeBarrier<PIPE_M>();
    Mmad(l0c<float>(0, 256), l0a<half>(0, 256), l0b<half>(0, 256), product(16, 16, 16, false));
    PASS(M_FIX, 0);
    Fixpipe(global<float>(c), l0c<float>(0, 256), out(16, 16, 16));
}
KERNEL(operands_not_awaited) {
    DataCopy(l1<half>(0, 256), global<half>(a), rows(16, 16, 16));  // expect race
    LoadData(l0a<half>(0, 256), l1<half>(0, 256), fractals(1));  // expect race
}
KERNEL(product_before_its_operand) {
    operands(a);
    LoadData(l0b<half>(512, 256), l1<half>(0, 256), fractals(1, true));  // expect race
    Mmad(l0c<float>(0, 256), l0a<half>(0, 256), l0b<half>(512, 256), product(16, 16, 16));  // expect race
}
KERNEL(operand_overwritten) {
    operands(a);
    Mmad(l0c<float>(0, 256), l0a<half>(0, 256), l0b<half>(0, 256), product(16, 16, 16));  // expect race
    PipeBarrier<PIPE_MTE1>();
    LoadData(l0a<half>(0, 256), l1<half>(512, 256), fractals(1));  // expect race
}
KERNEL(drained_before_the_product) {
    operands(a);
    Mmad(l0c<float>(0, 256), l0a<half>(0, 256), l0b<half>(0, 256), product(16, 16, 16));  // expect race
    Fixpipe(global<float>(c), l0c<float>(0, 256), out(16, 16, 16));  // expect race
}
KERNEL(product_over_what_is_drained) {
    operands(a);
    Mmad(l0c<float>(0, 256), l0a<half>(0, 256), l0b<half>(0, 256), product(16, 16, 16));
    PASS(M_FIX, 0);
    Fixpipe(global<float>(c), l0c<float>(0, 256), out(16, 16, 16));  // expect race
    PipeBarrier<PIPE_M>();
    Mmad(l0c<float>(0, 256), l0a<half>(0, 256), l0b<half>(0, 256), product(16, 16, 16));  // expect race
}
KERNEL(few_fractals_without_a_barrier) {
    operands(a);
    Mmad(l0c<float>(0, 256), l0a<half>(0, 256), l0b<half>(0, 256), product(16, 16, 16));  // expect race
    Mmad(l0c<float>(0, 256), l0a<half>(0, 256), l0b<half>(0, 256), product(16, 16, 16, false));  // expect race
}
KERNEL(two_loads_to_one_place_of_l1) {
    DataCopy(l1<half>(0, 256), global<half>(a), rows(16, 16, 16));  // expect race
    DataCopy(l1<half>(0, 256), global<half>(a)[256], rows(16, 16, 16));  // expect race
}
KERNEL(sum_never_begun) {
    operands(a);
    Mmad(l0c<float>(0, 256), l0a<half>(0, 256), l0b<half>(0, 256), product(16, 16, 16, false));  // expect uninitialised
}
KERNEL(rows_that_nobody_loaded) {
    DataCopy(l1<half>(0, 256), global<half>(a), rows(15, 16, 16));
    PASS(MTE2_MTE1, 0);
    LoadData(l0a<half>(0, 256), l1<half>(0, 256), fractals(1));  // expect uninitialised
}
KERNEL(vector_instruction_of_a_cube_core) {
    Duplicate(ub<float>(0, 64), 1.0f, 64);  // expect core
}
KERNEL(barrier_of_the_vector_pipe) {
    PipeBarrier<PIPE_V>();  // expect core
}
KERNEL(a_flag_to_the_scalar_unit) {
    SetFlag<HardEvent::MTE2_S>(0);  // expect event
}
KERNEL(sum_at_512) {
    operands(a);
    Mmad(l0c<float>(512, 256), l0a<half>(0, 256), l0b<half>(0, 256), product(16, 16, 16));  // expect alignment
}
KERNEL(more_than_l0a) {
    l0a<half>(32768, 32768);  // expect capacity
}
KERNEL(operand_from_l1) {
    operands(a);
    LocalTensor<half> x = l1<half>(0, 256);
    Mmad(l0c<float>(0, 256), x, l0b<half>(0, 256), product(16, 16, 16));  // expect path
}
KERNEL(rows_16385) {
    DataCopy(l1<half>(0, 256), global<half>(a), rows(16385, 16, 16));  // expect range
}
KERNEL(fractals_256) {
    LoadData(l0a<half>(0, 32768), l1<half>(0, 65536), fractals(256));  // expect range
}
KERNEL(conversion_not_named) {
    operands(a);
    Mmad(l0c<float>(0, 256), l0a<half>(0, 256), l0b<half>(0, 256), product(16, 16, 16));
    PASS(M_FIX, 0);
    Fixpipe(global<half>(c), l0c<float>(0, 256), out(16, 16, 16));  // expect range
}
KERNEL(result_past_the_end) {
    operands(a);
    Mmad(l0c<float>(0, 256), l0a<half>(0, 256), l0b<half>(0, 256), product(16, 16, 16));
    PASS(M_FIX, 0);
    Fixpipe(global<float>(c), l0c<float>(0, 256), out(16, 16, 80));  // expect out of bounds
}
KERNEL(flag_of_a_pipe) {
    TPipe pipe;
    SetFlag<HardEvent::M_MTE1>(1);  // expect event
}
KERNEL(right_queues_of_the_cube) {
    TPipe pipe;
    TQue<TPosition::A1, 1> panels;
    TQue<TPosition::A2, 1> left;
    TQue<TPosition::B2, 1> right;
    TQue<TPosition::CO1, 1> sums;
    pipe.InitBuffer(panels, 2, 512);
    pipe.InitBuffer(left, 2, 512);
    pipe.InitBuffer(right, 2, 512);
    pipe.InitBuffer(sums, 1, 1024);
    for (int i = 0; i < 2; ++i) {
        LocalTensor<half> x = panels.AllocTensor<half>(), l = left.AllocTensor<half>(), r = right.AllocTensor<half>();
        LocalTensor<float> s = sums.AllocTensor<float>();
        DataCopy(x, global<half>(a)[i * 256], rows(16, 16, 16));
        panels.EnQue(x);
        x = panels.DeQue<half>();
        LoadData(l, x, fractals(1));
        LoadData(r, x, fractals(1, true));
        left.EnQue(l);
        right.EnQue(r);
        panels.FreeTensor(x);
        l = left.DeQue<half>(), r = right.DeQue<half>();
        Mmad(s, l, r, product(16, 16, 16));
        sums.EnQue(s);
        left.FreeTensor(l);
        right.FreeTensor(r);
        s = sums.DeQue<float>();
        Fixpipe(global<float>(c)[i * 256], s, out(16, 16, 16));
        sums.FreeTensor(s);
    }
}
KERNEL(fractals_past_their_tensor) {
    DataCopy(l1<half>(0, 512), global<half>(a), rows(16, 32, 32));
    PASS(MTE2_MTE1, 0);
    LoadData(l0a<half>(0, 512), l1<half>(0, 256), fractals(2));  // expect out of bounds
}
KERNEL(rows_past_their_tensor) {
    DataCopy(l1<half>(0, 256), global<half>(a), rows(16, 32, 32));  // expect out of bounds
}
KERNEL(sum_past_its_tensor) {
    operands(a);
    Mmad(l0c<float>(0, 128), l0a<half>(0, 256), l0b<half>(0, 256), product(16, 16, 16));  // expect out of bounds
}
