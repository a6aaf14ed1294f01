# expect: ListComp is not part of the tile language
# caret: 9:[tile.load(x, (e, 4)) for e in tile.unroll(2)]
# hint: for e in tile.unroll(n):


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    y = [tile.load(x, (e, 4)) for e in tile.unroll(2)]
