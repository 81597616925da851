"""How well a text may be cut between two words: at the end of a sentence, at a comma, before a conjunction.

The order is that of the guides of subtitling (BBC Subtitle Guidelines, Netflix Timed Text Style Guide): punctuation
first, then before a conjunction, then before a preposition; never between an article and its noun.
"""

import re

AT_SENTENCE = 0.0
AT_COMMA = 2.0
BEFORE_CONJUNCTION = 4.0
BEFORE_PREPOSITION = 5.0
ANYWHERE = 8.0
AFTER_SHORT_WORD = 14.0  # an article or a conjunction at the end of a line

# also the marks of Chinese and Japanese, Urdu, Hindi, Arabic
_CLOSING = "[\"'\u201d\u2019\u00bb)\\]\u300d\u300f\uff09]*$"
_SENTENCE_END = re.compile("[.!?\u2026\u3002\uff0e\uff01\uff1f\uff61\u061f\u06d4\u0964]" + _CLOSING)
_COMMA = re.compile("[,;:\u3001\uff0c\uff1b\uff1a\u060c\u061b\u2014\u2013-]" + _CLOSING)
_ABBREVIATION = re.compile(r"(?:^|\W)(?:\w|mr|mrs|ms|dr|st|prof|nr|bzw|etc)\.$", re.IGNORECASE)
# particles and endings are written in hiragana, words from other languages in katakana
_IN_JAPANESE_WORD = re.compile(r"\w\|[\u3041-\u309f]|[\u30a1-\u30ff]\|[\u30a1-\u30ff]|[\u4e00-\u9fff]\|[\u4e00-\u9fff]")


def _by_language(lines: str) -> dict[str | None, frozenset[str]]:
    """A line is the code of a language and its words."""
    return {language: frozenset(words) for language, *words in map(str.split, lines.strip().splitlines())}


# Words of languages that many recordings are in; others are cut at punctuation and pauses
_CONJUNCTIONS = _by_language("""
en and but or nor so yet because although though while when where whereas if unless until since that which who
de und oder aber denn sondern weil obwohl während wenn als dass damit ob bevor nachdem bis sobald wo
fr et ou mais donc or ni car que qui quand lorsque puisque parce si comme où dont
es y e o u pero sino ni que porque aunque cuando donde si como mientras pues
it e ed o ma però né che perché quando se come mentre dove sebbene quindi
pt e ou mas nem que porque embora quando se como enquanto onde pois
nl en of maar want dat omdat hoewel terwijl als wanneer toen waar zodat
da og eller men for så at fordi selvom mens når da hvis som hvor
sv och eller men för så att eftersom fast medan när då om som där
no og eller men for så at fordi selv mens når da hvis som hvor
pl i a oraz lub albo ale lecz że bo ponieważ chociaż kiedy gdy jeśli który gdzie
""")
_PREPOSITIONS = _by_language("""
en in on at by for with from to into of about after before between through under over without during
de in an auf bei für mit von zu aus nach vor über unter zwischen durch ohne gegen um im am zum zur
fr dans sur à de par pour avec sans chez entre sous vers après avant depuis pendant en
es en a de por para con sin sobre entre hasta desde hacia según durante
it in a di da per con su tra fra senza durante verso dopo nel nella del della
pt em a de por para com sem sobre entre até desde durante no na do da
nl in op aan bij voor met van naar uit over onder tussen door zonder tegen tijdens
da i på ved med fra til af om under over mellem uden mod efter før
sv i på vid med från till av om under över mellan utan mot efter före
no i på ved med fra til av om under over mellom uten mot etter før
pl w we na do z ze od przez dla bez po przed nad pod między
""")
_ARTICLES = _by_language("""
en the a an my your his her its our their this these those no
de der die das den dem des ein eine einen einem einer eines mein dein sein ihr unser kein keine
fr le la les l' un une des du au aux mon ma mes ton ta tes son sa ses ce cette ces
es el la los las un una unos unas mi tu su sus al del este esta
it il lo la i gli le un uno una mio tuo suo questo questa
pt o os as um uma uns umas meu minha seu sua este esta
nl de het een mijn jouw zijn haar ons onze hun deze dit die
da en et den det de min din sin hans hendes
sv en ett den det de min din sin hans hennes
no en ei et den det de min din sin hans hennes
""")


def break_penalty(before: str, after: str, *, language: str | None) -> float:
    """What a cut between two words costs: `AT_SENTENCE` is the best, `AFTER_SHORT_WORD` the worst.

    Args:
        language: Whisper's code; of one without a list of words here, only punctuation counts.
    """
    last, first = _bare(before), _bare(after)
    costs = (
        (ends_sentence(before), AT_SENTENCE),
        (_COMMA.search(before), AT_COMMA),
        (language == "ja" and _IN_JAPANESE_WORD.search(f"{before[-1:]}|{after[:1]}"), AFTER_SHORT_WORD),
        (any(last in words.get(language, ()) for words in (_CONJUNCTIONS, _PREPOSITIONS, _ARTICLES)), AFTER_SHORT_WORD),
        (first in _CONJUNCTIONS.get(language, ()), BEFORE_CONJUNCTION),
        (first in _PREPOSITIONS.get(language, ()), BEFORE_PREPOSITION),
    )
    return next((cost for applies, cost in costs if applies), ANYWHERE)


def ends_sentence(word: str) -> bool:
    """Whether a word ends a sentence; an abbreviation does not."""
    return bool(_SENTENCE_END.search(word)) and not _ABBREVIATION.search(word)


def _bare(word: str) -> str:
    return re.sub(r"^\W+|\W+$", "", word).casefold()
