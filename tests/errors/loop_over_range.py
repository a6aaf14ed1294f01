# expect: a loop runs over tile.range or tile.unroll
# caret: 9:range(4)
# hint: for k in tile.range(start, stop, step):


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    for k in range(4):
        pass
