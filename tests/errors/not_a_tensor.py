# expect: load: the first argument must be a tensor parameter, got tile<index>
# caret: 10:tile.load(N, 0)
# hint: a tensor is a parameter annotated with dimensions
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.load(N, 0)
