// Part of engine.cpp: a fault of the emulated program ends its block, not the process. Handlers are ours only while a launch runs.
#ifndef DSLC_ENGINE_FAULTS_H
#define DSLC_ENGINE_FAULTS_H

#include <pthread.h>
#include <signal.h>

#include "machine.h"

namespace engine {

static struct sigaction former[32];
static constexpr int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
static pthread_t runner;
static u8 *signal_stack;

static void on_fault(int number, siginfo_t *info, void *) {
    Machine &m = machine;
    if (!m.running || !pthread_equal(pthread_self(), runner)) {
        sigaction(number, &former[number], nullptr);         // the same fault then comes again, to whoever it was for
        return;
    }
    i32 line = m.current >= 0 ? m.fibers[m.current].line : 0;
    bool overflow = false;
    if (m.current >= 0) {
        u8 *stack = m.fibers[m.current].stack, *address = static_cast<u8 *>(info->si_addr);
        overflow = address >= stack && address < stack + guard_bytes;
    }
    char text[256];
    const char *what = number == SIGFPE ? "an integer division by zero or overflow" : number == SIGILL ? "an illegal instruction" : "an access to unmapped memory";
    snprintf(text, sizeof text, "worker %d (wave %d) ended by %s; its last checked access or wait was at line %d", here.worker, here.wave,
             overflow ? "a stack overflow" : what, line);
    m.report.add(overflow ? "stack overflow" : "crash", &line, 1, here.block, text);
    stop_block();
}
static void watch_faults(bool on) {
    static stack_t former_stack;
    if (on) {
        runner = pthread_self();
        if (!signal_stack)
            signal_stack = static_cast<u8 *>(reserve(64 << 10));
        stack_t mine{};
        mine.ss_sp = signal_stack, mine.ss_size = 64 << 10;
        sigaltstack(&mine, &former_stack);
        struct sigaction action {};
        action.sa_sigaction = on_fault;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
        for (int number : faults)
            sigaction(number, &action, &former[number]);
    } else {
        for (int number : faults)
            sigaction(number, &former[number], nullptr);
        if (!(former_stack.ss_flags & SS_DISABLE) && former_stack.ss_sp)
            sigaltstack(&former_stack, nullptr);
        else {
            stack_t none{};
            none.ss_flags = SS_DISABLE;
            sigaltstack(&none, nullptr);
        }
    }
}

}  // namespace engine

#endif
