# expect: while: a constant condition becomes a run-time value
# caret: 11:n < 4
# hint: start from tile.full((), n, tile.index)
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    n = 0
    while n < 4:
        n = n + i
