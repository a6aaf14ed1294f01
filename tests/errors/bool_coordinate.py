# expect: load: the start of a span must be an integer scalar, got True
# caret: 10:tile.load(x, (True, 4))
# hint:
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.load(x, (True, 4))
