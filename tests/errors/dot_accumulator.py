# expect: dot: the accumulator must be tile<f32, 4, 4>, got tile<f16, 4, 4>
# caret: 10:tile.dot(tile.zeros((4, 8), tile.f16), tile.zeros((8, 4), tile.f16), tile.zeros((4, 4), tile.f16))
# hint:
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.dot(tile.zeros((4, 8), tile.f16), tile.zeros((8, 4), tile.f16), tile.zeros((4, 4), tile.f16))
