# expect: load: a span is (start, extent) or (start, extent, stop), got 4 parts
# caret: 10:tile.load(x, ((0, 1, 2, 3),))
# hint:
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.load(x, ((0, 1, 2, 3),))
