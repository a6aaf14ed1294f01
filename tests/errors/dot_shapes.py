# expect: dot: tile<f32, 4, 8> and tile<f32, 4, 8> do not multiply
# caret: 10:tile.dot(tile.zeros((4, 8), tile.f32), tile.zeros((4, 8), tile.f32))
# hint: shapes must be (M, K) and (K, N); .T turns an operand
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.dot(tile.zeros((4, 8), tile.f32), tile.zeros((4, 8), tile.f32))
