"""English word lists of the rules, in lower case."""

from __future__ import annotations


def word_set(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Words that are no topic: grammar, politeness, and verbs that occur in every meeting.
STOP_WORDS = word_set("""
    a about above actually after again against ago agree all almost already alright also always am
    an and another any anybody anyone anything are around as ask asked asking at away back be became
    because been before being believe best better between big bit both but by bye call called can
    cannot case check come comes coming could couple course day days did different do does doing
    done down each either else end enough even ever every everybody everyone everything exactly few
    find fine first five for four from full further gave get gets getting give given go goes going
    gonna good got great guess guys had happen happened happy has have having he hear heard hello
    help her here hers herself hey hi him himself his hour hours how however i if in instead into is
    it its itself just keep kept kind knew know known last later least left less let lets like
    likely little long look looked looking lot lots made main make makes making many may maybe me
    mean means meant might mine minute minutes month months more morning most much must my myself
    name near need needed needs never new next nice no none nope nor not nothing now number of off
    often oh ok okay old on once one ones only or other others our ours ourselves out over own part
    people perfect perhaps person place please plus point possible pretty probably put quick quickly
    quite rather ready real really right said same saw say saying says second see seem seems seen
    send sending sent set several shall she should show side since six small so some somebody
    someone something soon sorry sort start started still stuff such sure take taken takes taking
    talk talked talking tell ten than thank thanks that the their theirs them themselves then there
    these they thing things think thinking third this those though thought three through time times
    to today together told tomorrow tonight too took total true try trying turn two uh um under
    understand until up upon us use used using usually very wait want wanted wants was way we week
    weeks welcome well went were what whatever when where whether which while who whole whom whose
    why will wish with within without won wonder wondering word words work worked working works
    would wow wrong yeah year years yep yes yesterday yet you your yours yourself yourselves
    monday tuesday wednesday thursday friday saturday sunday afternoon evening noon midnight
    able add added adding anyway basically book bring brought change changed create cut definitely
    depend depends draft email finish finished fix fixed follow hold hope hopefully invite join
    leave listen move moved open pay phone pick prepare propose read remind reminder review run
    running schedule scheduled share shared spend stop submit suggest supposed test tested update
    updated wrote write writing mention mentioned mister mr mrs ms dr
""")

# Filler words at the start of a sentence.
FILLER_WORDS = word_set("""
    ah alright also and anyway actually basically because but fine good great hello hey hi hmm
    listen look maybe no now oh ok okay perfect perhaps really right so sorry sure thanks then uh
    um well yeah yep yes
""")

NEGATIONS = word_set("""
    not no never nothing none nobody hardly without cannot isn't aren't wasn't weren't don't doesn't
    didn't won't wouldn't can't couldn't shouldn't haven't hasn't hadn't ain't
""")

GOOD_WORDS = word_set("""
    agree amazing amiable appreciate appreciated awesome beautiful benefit best better brilliant
    celebrate clear comfortable confident congratulations correct delighted easy effective efficient
    enjoy enjoyed excellent excited exciting fantastic fast favorite fine fixed friendly fun glad
    good gorgeous great happy helped helpful hope hopeful impressed impressive improve improved
    improvement interesting joy kind liked love loved lovely lucky nice outstanding perfect
    pleasant pleased pleasure positive productive progress promising proud reliable resolved
    respectable safe satisfied smart smooth solid solved strong succeed success successful super
    superb support terrific thank thanks thrilled useful valuable welcome win winning wonderful
    working worth yay
""")

BAD_WORDS = word_set("""
    afraid angry annoyed annoying awful bad bother broke broken bug cancel cancelled complain
    complaint concern concerned concerns confused confusing crash crashed crashes damage damaged
    dead defect delay delayed delays difficult disappointed disappointing disappointment disaster
    dislike error errors expensive fail failed failing fails failure fear frustrated frustrating
    hard hate hated horrible hurt impossible incorrect issue issues late lose losing loss lost
    mistake negative nightmare outage pain painful poor problem problems refund refuse reject
    rejected sad scared selfish slow sorry struggle struggling stuck stupid terrible threat tired
    trouble ugly unable unacceptable unclear unfortunately unhappy unreliable unsafe upset urgent
    useless waste weak worried worry worse worst wrong
""")

STRONG_WORDS = word_set("""
    amazing awesome awful best brilliant disaster excellent fantastic hate horrible love nightmare
    outstanding perfect superb terrible terrific unacceptable wonderful worst
""")

INTENSIFIERS = word_set("absolutely completely extremely incredibly really so super totally very")

# Verbs after "I will" that promise no task.
NON_TASK_VERBS = word_set("""
    admit agree appreciate assume be become believe bet care consider die disagree don't doubt
    enjoy expect explain feel fear forget guess hate have hear hope imagine interrupt keep know
    leave let like listen live lose love mean mention miss need not never notice pass prefer pretend
    prove realize recall recognize remember repeat say see seem sound stand stay stick stop suggest
    suppose tell thank think trust understand wait want wish wonder worry
""")

# Verbs after "let me" and "let's" that only open the next subject.
TRANSITION_VERBS = word_set("""
    begin call change continue discuss dive do get go introduce jump kick look move open put read
    show start switch take talk try turn use walk work wrap
""")

# Verbs that need at least two more words to describe a task.
VAGUE_VERBS = word_set(
    "come do get go look make move put run start take talk try turn use walk work"
)

# Verbs after "can you" that ask for an answer, not for a task.
ANSWER_VERBS = word_set("""
    believe confirm describe elaborate explain guess hear hold imagine know not remember repeat say
    see speak spell tell think understand wait
""")

# Verbs that form a request after the name of a speaker.
TASK_VERBS = word_set("""
    add arrange ask book bring build call cancel change check clean close collect compare complete
    confirm contact copy create deliver deploy document download draft email file fill find finish
    fix forward get install invite investigate look mail make merge message move order organise
    organize pay phone pick ping plan prepare print publish put read record remind remove repair
    replace reply report reschedule research resend reset respond restart return review rewrite run
    schedule send set share ship sign submit take test text translate update upload verify write
""")

# Verbs and phrases that make an action a follow-up: they contact a person.
CONTACT_VERBS = word_set("""
    arrange book call connect contact email invite mail message meet phone ping remind reschedule
    resend ring schedule send text
""")
CONTACT_PHRASES = (
    "check in with",
    "circle back",
    "come back to",
    "follow up",
    "follow-up",
    "get back to",
    "get in touch",
    "reach out",
    "set up a call",
    "set up a meeting",
    "touch base",
)
