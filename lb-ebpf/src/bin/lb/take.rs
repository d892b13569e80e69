//! What each family has functions of its own for, called and not inlined: the verifier looks at each
//! once, and the stack stays small. They find what they work on in the scratch room; what they do is
//! in `track`, `enter`, `end` and `tokens`.

use lb_common::{V4, V6};
use lb_ebpf::life::Patience;

use crate::{
    end::{self, Reclaimed},
    enter,
    maps::Tables,
    tokens, track,
};

/// See the module.
pub trait Take: Tables {
    /// See [`track::opened`] for what became of it.
    fn open();
    /// Enters both halves of the flow in the scratch room, or none.
    fn enter() -> u32;
    /// Enters the answer's half; see [`Reclaimed`] for what becomes of a flow that has its key.
    fn take(patience: Patience) -> u32;
    /// Takes the answer's key from a flow that is over.
    fn reclaim(patience: Patience) -> Reclaimed;
    /// See [`end::end`].
    fn end(id: u32) -> bool;
    /// See [`end::close`].
    fn close();
    /// Removes flows that others can do without, because the table is full.
    fn make_room() -> bool;
    /// Looks at a few flows, as every new flow does: thus nothing depends on the agent.
    fn look_around();
    /// See [`tokens::enrol`].
    fn enrol() -> bool;
    /// See [`tokens::look_at_provisional`].
    fn look_at_provisional(forced: bool) -> bool;
    /// See [`tokens::look_at_confirmed`].
    fn look_at_confirmed(patience: Patience) -> bool;
}

/// A number as the argument of a function: pressed or not.
#[inline(always)]
fn patience(number: u32) -> Patience {
    if number == 0 { Patience::Full } else { Patience::Pressed }
}

macro_rules! for_family {
    ($family:ty: $open:ident $enter:ident $take:ident $reclaim:ident $end:ident $close:ident $make_room:ident
     $look_around:ident $enrol:ident $provisional:ident $confirmed:ident) => {
        for_family!(@ $open() => track::open::<$family>());
        for_family!(@ $enter() => enter::enter::<$family>());
        for_family!(@ $take(pressed) => enter::take::<$family>(patience(pressed)));
        for_family!(@ $reclaim(pressed) => end::reclaim::<$family>(patience(pressed)).number());
        for_family!(@ $end(id) => end::end::<$family>(id).into());
        for_family!(@ $close() => end::close::<$family>());
        for_family!(@ $make_room() => tokens::make_room::<$family>().into());
        for_family!(@ $look_around() => tokens::look_around::<$family>());
        for_family!(@ $enrol() => tokens::enrol::<$family>().into());
        for_family!(@ $provisional(forced) =>
            tokens::look_at_provisional::<$family>(forced != 0).into());
        for_family!(@ $confirmed(pressed) =>
            tokens::look_at_confirmed::<$family>(patience(pressed)).into());

        impl Take for $family {
            #[inline(always)]
            fn open() {
                $open();
            }
            #[inline(always)]
            fn enter() -> u32 {
                $enter()
            }
            #[inline(always)]
            fn take(patience: Patience) -> u32 {
                $take((patience == Patience::Pressed).into())
            }
            #[inline(always)]
            fn reclaim(patience: Patience) -> Reclaimed {
                Reclaimed::of($reclaim((patience == Patience::Pressed).into()))
            }
            #[inline(always)]
            fn end(id: u32) -> bool {
                $end(id) != 0
            }
            #[inline(always)]
            fn close() {
                $close();
            }
            #[inline(always)]
            fn make_room() -> bool {
                $make_room() != 0
            }
            #[inline(always)]
            fn look_around() {
                $look_around();
            }
            #[inline(always)]
            fn enrol() -> bool {
                $enrol() != 0
            }
            #[inline(always)]
            fn look_at_provisional(forced: bool) -> bool {
                $provisional(forced.into()) != 0
            }
            #[inline(always)]
            fn look_at_confirmed(patience: Patience) -> bool {
                $confirmed((patience == Patience::Pressed).into()) != 0
            }
        }
    };
    // No argument that is not used: the compiler leaves it out of the call, and the verifier wants
    // to see a number.
    (@ $name:ident($($argument:ident)?) => $body:expr) => {
        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $name($($argument: u32)?) -> u32 {
            $body
        }
    };
}

for_family! {
    V4: open_v4 enter_v4 take_v4 reclaim_v4 end_v4 close_v4 make_room_v4 look_around_v4 enrol_v4
    provisional_v4 confirmed_v4
}

for_family! {
    V6: open_v6 enter_v6 take_v6 reclaim_v6 end_v6 close_v6 make_room_v6 look_around_v6 enrol_v6
    provisional_v6 confirmed_v6
}
