# expect: load: the first argument must be a tensor parameter, got None
# caret: 10:tile.load(y, 0)
# hint: test an optional tensor first: if bias is not None:
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]", y: "f32[N]?"):
    i = tile.grid(1)
    t = tile.load(y, 0)
