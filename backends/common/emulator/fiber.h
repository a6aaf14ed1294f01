// Stacks and the switch between them. switch_stack(&mine, other) saves the running stack's registers on it and its top in `mine`, and
// goes on where `other` was left. Only what a call must preserve is saved: x86-64 System V ABI, AAPCS64; elsewhere ucontext.
#ifndef DSLC_ENGINE_FIBER_H
#define DSLC_ENGINE_FIBER_H

#include "memory.h"

#if !defined(__x86_64__) && !defined(__aarch64__)
#include <ucontext.h>
#endif

namespace engine {

// Registers of a device thread live on its stack here: 255 words, tiles in local memory, and the engine's own frames. The lowest page
// is not mapped for access, so that an overflow is a fault and not another fiber's corruption.
constexpr size_t stack_bytes = 512 << 10, guard_bytes = 16 << 10;

#if defined(__x86_64__)
extern "C" void dslc_switch_stack(void **mine, void *other) __attribute__((visibility("hidden")));
asm(R"(
    .text
    .p2align 4
    .globl dslc_switch_stack
    .hidden dslc_switch_stack
    .type dslc_switch_stack, @function
dslc_switch_stack:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size dslc_switch_stack, .-dslc_switch_stack
)");
struct Context { void *top = nullptr; };
inline void switch_stack(Context &mine, Context &other) { dslc_switch_stack(&mine.top, other.top); }
inline void prepare(Context &context, u8 *stack, void (*entry)()) {
    u64 *top = reinterpret_cast<u64 *>(stack + stack_bytes);
    *--top = 0;                                  // where `entry` would return to: its stack is 8 below a multiple of 16, as after a call
    *--top = (u64)entry;
    for (int i = 0; i < 6; ++i)
        *--top = 0;
    context.top = top;
}
#elif defined(__aarch64__)
extern "C" void dslc_switch_stack(void **mine, void *other) __attribute__((visibility("hidden")));
asm(R"(
    .text
    .p2align 4
    .globl dslc_switch_stack
    .hidden dslc_switch_stack
    .type dslc_switch_stack, %function
dslc_switch_stack:
    sub sp, sp, #160
    stp x19, x20, [sp]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
    .size dslc_switch_stack, .-dslc_switch_stack
)");
struct Context { void *top = nullptr; };
inline void switch_stack(Context &mine, Context &other) { dslc_switch_stack(&mine.top, other.top); }
inline void prepare(Context &context, u8 *stack, void (*entry)()) {
    u64 *top = reinterpret_cast<u64 *>(stack + stack_bytes) - 20;
    memset(top, 0, 160);
    top[11] = (u64)entry;                        // x30
    context.top = top;
}
#else
struct Context { ucontext_t state; };
inline void switch_stack(Context &mine, Context &other) { swapcontext(&mine.state, &other.state); }
inline void prepare(Context &context, u8 *stack, void (*entry)()) {
    getcontext(&context.state);
    context.state.uc_stack.ss_sp = stack + guard_bytes;
    context.state.uc_stack.ss_size = stack_bytes - guard_bytes;
    context.state.uc_link = nullptr;
    makecontext(&context.state, entry, 0);
}
#endif

// One stack; kept by the process.
inline u8 *new_stack() {
    u8 *p = static_cast<u8 *>(reserve(stack_bytes));
    mprotect(p, guard_bytes, PROT_NONE);
    return p;
}

}  // namespace engine

#endif
