from app import shout, system


async def test_short_words_go(probe):
    async with probe(shout) as p:
        await p.feed("the", "quick")
        assert await p.finish() == {"out": ["QUICK"]}


async def test_words_on_their_way_to_the_screen(run_system):
    s = await run_system(system, replace={"words": None, "show": None})
    await s.send("words.out", "lazy", "dog")
    await s.finish()
    assert s.received("show.in") == ["LAZY"]
