# expect: exp: floats only, got tile<i32, 4>; cast first
# caret: 10:tile.exp(tile.load(y, (0, 4)))
# hint: tile.cast(x, tile.f32)
# args: x=f32(8), y=i32(8)


@tile_kernel
def kernel(x: "f32[N]", y: "i32[N]"):
    i = tile.grid(1)
    t = tile.exp(tile.load(y, (0, 4)))
