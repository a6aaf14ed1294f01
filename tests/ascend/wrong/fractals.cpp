// The cube core: fractals in the order that an instruction reads, and in others. A matrix of 32 x 32 halves (NZ in L1: 2 x 2 fractals of 512 bytes) unless said.
#define TYPE KERNEL_TYPE_AIC_ONLY
#include "case.h"

static Nd2NzParams rows(int n, int d, int height) {
    Nd2NzParams p;
    p.ndNum = 1, p.nValue = n, p.dValue = d, p.srcDValue = d, p.dstNzC0Stride = height;
    return p;
}
static LoadData2DParams run(int first, int count, int step, bool turned) {
    LoadData2DParams p;
    p.startIndex = first, p.repeatTimes = count, p.srcStride = step, p.ifTranspose = turned;
    return p;
}
static MmadParams product(int m, int n, int k, bool first = true) {
    MmadParams p;
    p.m = m, p.n = n, p.k = k, p.cmatrixInitVal = first;
    return p;
}
static FixpipeParamsV220 out(int m, int n, int height) {
    FixpipeParamsV220 p;
    p.mSize = m, p.nSize = n, p.srcStride = height, p.dstStride = n;
    return p;
}
static LocalTensor<half> left() { return l0a<half>(0, 1024); }
static LocalTensor<half> right() { return l0b<half>(0, 1024); }
static LocalTensor<float> result() { return l0c<float>(0, 1024); }
static void matrix(GM_ADDR a) {
    DataCopy(l1<half>(0, 1024), global<half>(a), rows(32, 32, 32));
    PASS(MTE2_MTE1, 0);
}
static void good_left() { for (int i = 0; i < 2; ++i) LoadData(left()[i * 512], l1<half>(0, 1024), run(i, 2, 2, false)); }       // zZ
static void good_right() { for (int k = 0; k < 2; ++k) LoadData(right()[k * 512], l1<half>(0, 1024), run(k, 2, 2, true)); }       // nZ, K down the rows
static void multiply(GM_ADDR a) {
    matrix(a);
    good_left();
    good_right();
    PASS(MTE1_M, 0);
    Mmad(result(), left(), right(), product(32, 32, 32));
    PipeBarrier<PIPE_M>();
}

KERNEL(right_square) {
    multiply(a);
    Mmad(result(), left(), right(), product(32, 32, 32, false));
    PASS(M_FIX, 0);
    Fixpipe(global<float>(c), result(), out(32, 32, 32));
}
KERNEL(right_lower_rows) {
    multiply(a);
    PASS(M_FIX, 0);
    Fixpipe(global<float>(c), result()[20 * 16], out(12, 32, 32));
}
KERNEL(right_turned_by_its_strides) {  // K along the rows of both: a times its transpose
    matrix(a);
    good_left();
    LoadData(right(), l1<half>(0, 1024), run(0, 4, 1, false));
    PASS(MTE1_M, 0);
    Mmad(result(), left(), right(), product(32, 32, 32));
    PASS(M_FIX, 0);
    Fixpipe(global<float>(c), result(), out(32, 32, 32));
}
KERNEL(right_row) {  // m = 1: 64 halves as they lie in memory
    DataCopy(l1<half>(8192, 256), global<half>(a), 256);
    matrix(a);
    LoadData(left(), l1<half>(8192, 256), run(0, 1, 1, false));
    good_right();
    PASS(MTE1_M, 0);
    Mmad(result(), left(), right(), product(1, 32, 32));
    PASS(M_FIX, 0);
    Fixpipe(global<float>(c), result(), out(1, 32, 16));
}
KERNEL(left_in_the_order_of_l1) {
    matrix(a);
    LoadData(left(), l1<half>(0, 1024), run(0, 4, 1, false));
    good_right();
    PASS(MTE1_M, 0);
    Mmad(result(), left(), right(), product(32, 32, 32));  // expect layout
}
KERNEL(left_turned_in_half) {
    matrix(a);
    LoadData(left(), l1<half>(0, 1024), run(0, 2, 2, false));
    LoadData(left()[512], l1<half>(0, 1024), run(1, 2, 2, true));
    good_right();
    PASS(MTE1_M, 0);
    Mmad(result(), left(), right(), product(32, 32, 32));  // expect layout
}
KERNEL(second_operand_not_turned) {
    matrix(a);
    good_left();
    for (int k = 0; k < 2; ++k) LoadData(right()[k * 512], l1<half>(0, 1024), run(k, 2, 2, false));
    PASS(MTE1_M, 0);
    Mmad(result(), left(), right(), product(32, 32, 32));  // expect layout
}
KERNEL(second_operand_column_by_column) {
    matrix(a);
    good_left();
    LoadData(right(), l1<half>(0, 1024), run(0, 4, 1, true));
    PASS(MTE1_M, 0);
    Mmad(result(), left(), right(), product(32, 32, 32));  // expect layout
}
KERNEL(columns_of_20_blocks) {
    DataCopy(l1<half>(0, 1024), global<half>(a), rows(20, 32, 20));
    PASS(MTE2_MTE1, 0);
    LoadData(left(), l1<half>(0, 1024), run(1, 1, 1, false));  // expect layout
}
KERNEL(rows_two_blocks_apart) {
    Nd2NzParams p = rows(32, 16, 64);
    p.dstNzNStride = 2;
    DataCopy(l1<half>(0, 1024), global<half>(a), rows(32, 32, 32));
    PipeBarrier<PIPE_MTE2>();
    DataCopy(l1<half>(0, 1024), global<half>(a), p);
    PASS(MTE2_MTE1, 0);
    LoadData(left(), l1<half>(0, 1024), run(0, 1, 1, false));  // expect layout
}
KERNEL(floats_taken_for_halves) {
    DataCopy(l1<float>(0, 512), global<float>(a), rows(16, 16, 16));
    PASS(MTE2_MTE1, 0);
    LoadData(left(), l1<half>(0, 1024), run(0, 1, 1, false));
    LoadData(right(), l1<half>(0, 1024), run(1, 1, 1, false));
    PASS(MTE1_M, 0);
    Mmad(result(), left(), right(), product(16, 16, 16));  // expect layout
}
KERNEL(floats_turned_as_halves) {
    DataCopy(l1<float>(0, 512), global<float>(a), rows(16, 16, 16));
    PASS(MTE2_MTE1, 0);
    LoadData(right(), l1<half>(0, 1024), run(0, 1, 1, true));  // expect layout
}
KERNEL(square_of_floats_down_a_column) {
    DataCopy(l1<float>(0, 512), global<float>(a), rows(32, 16, 32));
    PASS(MTE2_MTE1, 0);
    LoadData2dTransposeParams p;
    p.repeatTimes = 1, p.srcStride = 1;
    LoadDataWithTranspose(l0b<float>(0, 512), l1<float>(0, 512), p);  // expect layout
}
KERNEL(square_of_bytes_along_a_row) {
    DataCopy(l1<int8_t>(0, 1024), global<int8_t>(a), rows(16, 64, 16));
    PASS(MTE2_MTE1, 0);
    LoadData2dTransposeParams p;
    p.repeatTimes = 1, p.srcStride = 1;
    LoadDataWithTranspose(l0b<int8_t>(0, 1024), l1<int8_t>(0, 1024), p);  // expect layout
}
KERNEL(sum_of_another_shape) {
    multiply(a);
    Mmad(result(), left(), right(), product(16, 32, 32, false));  // expect layout
}
KERNEL(drained_with_a_wrong_stride) {
    multiply(a);
    PASS(M_FIX, 0);
    Fixpipe(global<float>(c), result(), out(16, 32, 16));  // expect layout
}
KERNEL(sum_of_integers_drained_as_floats) {
    DataCopy(l1<int8_t>(0, 1024), global<int8_t>(a), rows(32, 32, 32));
    PASS(MTE2_MTE1, 0);
    LoadData(l0a<int8_t>(0, 1024), l1<int8_t>(0, 1024), run(0, 2, 1, false));
    LoadData(l0b<int8_t>(0, 1024), l1<int8_t>(0, 1024), run(0, 2, 1, false));
    PASS(MTE1_M, 0);
    Mmad(l0c<int32_t>(0, 1024), l0a<int8_t>(0, 1024), l0b<int8_t>(0, 1024), product(32, 32, 32));
    PASS(M_FIX, 0);
    Fixpipe(global<float>(c), result(), out(32, 32, 32));  // expect layout
}
KERNEL(one_row_of_fractals) {
    matrix(a);
    good_left();
    good_right();
    PASS(MTE1_M, 0);
    Mmad(result(), left(), right(), product(1, 32, 32));  // expect layout
}
