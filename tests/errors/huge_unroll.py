# expect: unroll: 1000000 trips are too many to repeat the body
# caret: 10:tile.unroll(1000000)
# hint: tile.range runs at run time
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    for k in tile.unroll(1000000):
        pass
