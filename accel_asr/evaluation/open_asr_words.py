"""The Open ASR leaderboard's lists of English words: hesitations, compounds, and names spelled in several ways.

Facts of its `normalizer/english_abbreviations.py` and `normalizer.py` as of 2026
(https://github.com/huggingface/open_asr_leaderboard).
"""

# hesitations of any length, such as "uhhh"; "ah-ha" comes first, since "ha" alone stays
FILLERS = [
    "ah-ha",
    "a+h+m*",
    "a+h+a+",
    "e+h+m*",
    "e+m+",
    "e+r+m*",
    "h+a+h+",
    "h+e+h+",
    "h+m+",
    "h+u+h+",
    "m{2,}",
    "m+h+m*",
    "t+s+k+",
    "u+g+h+",
    "u+h+m*",
    "u+h+u+[hm]*",
    "u+m+h*",
    "ahem",
    "eheh",
    "ehehe",
    "ehr",
    "hmmph",
    "hum",
    "hunh",
    "mhum",
    "mmkay",
]

# after these, 's is "is"; elsewhere it stays, as a possessive
WORDS_BEFORE_IS = ["it", "he", "she", "what", "that", "who", "here", "there", "how", "when", "where", "why", "this"]

SPELLINGS = {"ok": "okay", "kay": "okay", "etcetera": "etc"}  # beside the table in the model's folder

# written as one word, whatever stands between the parts
COMPOUNDS = {
    **{parts: parts.replace(" ", "") for parts in ("wi fi", "hi fi", "lo fi", "sci fi", "e mail", "e book")},
    **{parts: parts.replace(" ", "") for parts in ("e commerce", "x ray", "t shirt", "a m", "p m", "how ever")},
    **{"et cetera": "etc", "al right": "alright", "all right": "alright", "o k": "okay"},
}

# each line: the spelling that is kept, then those that become it
_NAMES = """
aaron aron | alfonso alphonso | alison allison alyson | allen alan allan | anne ann | anthony antony | arthur artur
brett bret | brian bryan | bridget bridgette | caitlin katelyn kaitlyn kaitlin | carl karl | carol carrol carole carroll
catherine katherine kathryn catharine | cathy kathy | charlie charly charley | chris kris | christina kristina
christopher kristopher cristopher | colin collin | deborah devorah | dennis denis | dominic dominick | douglas douglass
dylan dillon | eric erik erick | fatima fatimah | frederick frederik fredrick | gail gayle | gary garry | greg gregg
henry henri | ivonne yvonne | jackie jacky | jamie jaime | jason jayson | jeff geoff | jeffrey geoffrey jeffery
joanne joann joane | john jon | jonathan johnathan jonathon | joseph josef | karen caren caryn karin
kelly kellye kelli kelley | kevin kevan | kristin kristen | laurie lori | lawrence laurence | lee leigh | leslie lesley
lily lilly | linda lynda | lindsay linsey lindsey | louis lewis | lucas lukas | lynn lynne | mark marc | martin martyn
matthew mathew | mcarthur macarthur | mccarthy macarthy maccarthy | mccartney macartney | mcdonald macdonald
mcgowan macgowan | mcintosh macintosh | mcintyre macintyre | mckay mackay | mckenzie mackenzie | mclean maclean
mcleod macleod | mcmillan macmillan | mcnamara macnamara | megan meghan | michael micheal | michelle michele
miriam myriam | mohammed mohamad mohamed mohammad muhammad muhamad muhammed mouhamed mouhamad mahomet | molly mollie
natalie nathalie | neil neal | nicholas nicolas | nicole nikole | patrick patrik | peter pieter | philip phillip
rachel rachael | rajiv rajeev | rebecca rebekah | rob robb | robin robyn | roger rodger | ronda rhonda | russell russel
sally sallie | sarah sara | sean shaun shawn | shane shayne | sherry sheri cheri sherrie | simon symon
stacy stacey stacie | steven stephen | stuart stewart | susanne suzanne | teresa theresa | terry terri | thomas tomas
toby tobey | tony toni | tracy tracey tracie | veronica veronika | victor viktor | victoria viktoria | walter walther
yousef yusuf yusef | zach zak | zachary zackary zachery
"""
_SPELLED = [names.split() for names in _NAMES.replace("\n", "|").split("|") if names.strip()]
NAMES = {other: kept for kept, *others in _SPELLED for other in others}
