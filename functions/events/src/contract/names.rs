//! The names of a contract's fields as a tree, in which a parser finds them.

/// The members that an object may have by contract.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    members: Vec<Member>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Member {
    name: String,
    found: Found,
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A field whose value is read.
    Scalar {
        /// Where the value goes.
        slot: usize,
    },
    /// A field whose JSON text is kept.
    Json {
        /// Where the text goes.
        slot: usize,
    },
    /// An object with fields.
    Object {
        /// Where it is noted that it was there.
        slot: usize,
        /// Its members.
        names: Names,
    },
}

impl Names {
    /// What a name stands for, and the place of the member after it. Most events have their members in the contract's
    /// order, so that is tried first.
    #[inline]
    pub fn find(&self, name: &str, expected: usize) -> Option<(&Found, usize)> {
        if let Some(member) = self.members.get(expected)
            && member.name == name
        {
            return Some((&member.found, expected + 1));
        }
        let place = self.members.iter().position(|member| member.name == name)?;
        Some((&self.members[place].found, place + 1))
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Found> {
        let mut members = self.members.iter_mut();
        let member = members.find(|member| member.name == name)?;
        Some(&mut member.found)
    }

    pub(super) fn push(&mut self, name: &str, found: Found) -> &mut Found {
        let name = name.to_owned();
        self.members.push(Member { name, found });
        let last = self.members.len() - 1;
        &mut self.members[last].found
    }
}
